"""The injection patterns, as data: eleven families, each pattern with what it adds to the score.

The syntax is RE2's, which does not backtrack: a scan is linear in the text, whatever the text is. A weight
is the share of doubt that one hit removes: two hits of 0.5 make 0.75, three 0.875. Patterns of code (Python,
SQL, shell, templates) weigh little on purpose, because people ask models about code all day: they are
counted, and only together with something else do they reach the threshold. Gaps are a run to the end of the
sentence rather than `.{0,40}`: counting costs an automaton a state for every place where it may have begun.

Whoever changes a pattern or a weight raises VERSION and measures again: `python -m benchmarks.guard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

VERSION: Final = "v1"

THRESHOLD: Final = 0.5
"""Score from which a prompt is flagged."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What it belongs to, what a hit weighs (0 to 1), and its RE2 expression."""

    family: str
    weight: float
    expression: str


# fmt: off
_TABLE: Final[Mapping[str, tuple[tuple[float, str], ...]]] = {
    "instruction-override": (  # the text tells the model to leave what it was told before
        (0.7, r"\b(?:ignor\w+|disregard\w*|forget|overrid\w+|bypass\w*|circumvent\w*|abandon|discard\w*|neglect|set aside|pay no attention to|do not (?:follow|obey)|don'?t (?:follow|obey)|stop following|no longer (?:follow|bound by))\s+(?:\w+\s+){0,3}?(?:previous\w*|prior|above|earlier|preceding|foregoing|existing|initial|original|former|past|system|all (?:of )?(?:the |your )?(?:other )?|any|every|your|the(?:se|m)?)\s*(?:\w+\s+){0,3}?(?:instruct\w*|rules?|guidelines?|polic(?:y|ies)|prompts?|directions?|directives?|commands?|orders?|programming|training|restrictions?|constraints?|limitations?|context|safeguards?|filters?)\b"),
        (0.6, r"\b(?:ignore|disregard|forget)\s+(?:everything|all|anything)\s+(?:that\s+)?(?:above|before|previous|prior|you(?:'ve| have| were)|i(?:'ve| have)? (?:said|told)|said|written|we)"),
        (0.6, r"\b(?:new|updated|real|actual|important|revised|urgent|critical)\s+(?:\w+\s+)?(?:instructions?|orders?|directives?|task)\s*(?:[:*#\-]|\b(?:from|below|follow))"),
        (0.5, r"\b(?:your|the) (?:new|real|true|actual|only) (?:instructions?|task|goal|objective|purpose|role|mission|rules?)\b\s*(?:is|are|:)"),
        (0.5, r"\b(?:instead|rather)\b[,:]?\s+(?:only\s+)?(?:output|print|respond|reply|say|answer|write)\s+(?:with|only|exactly|the)"),
        (0.6, r"\b(?:previous|prior|above|earlier|preceding|system)\s+(?:\w+\s+)?(?:instructions?|prompts?|rules?|guidelines)\s+(?:\w+\s+){0,3}?(?:void|null|revoked|cancel\w*|obsolete|outdated|superseded|no longer|do(?:es)? not apply|don'?t apply|replaced|deprecated|rescinded|lifted|suspended)"),
        (0.7, r"\b(?:ignora|olvida|ignorez|oubliez?|ignoriere?n?|vergiss|ignorar|esque[çc]a|ignore|dimentica|negeer)\b[^.\n]*\b(?:instrucciones|instructions|anteriores|pr[ée]c[ée]dentes|consignes|r[eè]gles|reglas|anweisungen|regeln|vorherigen|bisherigen|instru[çc][õo]es|istruzioni|regole|precedenti|instructies)"),
        (0.6, r"\b(?:nuevas?|nouvelles?|neuen?|nuove|novas|nieuwe)\s+(?:instrucciones|instructions|consignes|anweisungen|istruzioni|instru[çc][õo]es|instructies)\b"),
        (0.7, r"(?:忽略|无视|忘记|忽視|無視)[^。\n]*(?:指令|指示|提示|规则|規則|说明|命令)|(?:игнорируй|забудь)[^.\n]*(?:инструкци|указани|правил)|(?:指示|命令|ルール)[^。\n]*(?:無視|忘れ)|(?:지시|명령)[^.\n]*무시"),
        (0.4, r"\b(?:from (?:now|this (?:point|moment))(?: on(?:wards?)?)?|henceforth|going forward),? (?:\w+ ){0,3}?(?:you|your)\b"),
        (0.5, r"\b(?:must|will|shall|have to|are to|should|always)\s+(?:\w+\s+)?(?:obey|comply with)\b[^.\n]*\b(?:me|my|order|command|request|instruction|user|question)"),
        (0.4, r"\b(?:stop|end|finish)\s+(?:\w+\s+){0,3}?(?:summar\w+|translat\w+|task|document|here)\b[^.\n]*\b(?:now|instead|then|and)\b[^.\n]*\b(?:print|say|output|write|reveal|do)"),
    ),
    "role-play": (  # the text gives the model a part that has no rules
        (0.8, r"\b(?:(?-i:DAN|STAN|DUDE|AIM)|BasedGPT|BetterDAN|EvilBOT|AntiGPT|ChadGPT|jail ?break(?:ed|s)?(?: mode)?|do anything now)\b[^\n]*\b(?:you|mode|prompt|answer|respon\w+|can do|stands for|act\w*|any\w*|GPT|AI)\b"),
        (0.6, r"\b(?:developer|debug|god|sudo|admin|root|unrestricted|uncensored|unfiltered|jailbreak|opposite|evil|maintenance)[ -]mode\b"),
        (0.45, r"\b(?:no|without|free (?:of|from)|not bound by|aren'?t bound by|beyond|lacks?|never had|zero|not (?:have|follow)(?: any)?)\s+(?:\w+\s+){0,3}?(?:restrict\w+|filter\w*|censor\w*|ethic\w*|moral\w*|limit(?:s|ations?)|guidelines|safeguards?|content polic\w+|safety|boundaries|inhibitions|rules)\b"),
        (0.5, r"\b(?:unrestricted|uncensored|unfiltered|amoral|unethical|unaligned|lawless|unconstrained|rogue)\s+(?:\w+\s+){0,2}?(?:ai|a\.i\.|assistant|model|chat\s?bot|bot|gpt|language model|persona|character|version|answers?|responses?|entity|being)"),
        (0.4, r"\b(?:pretend|imagine|act as if|behave as if|simulate|role-?play|assume the role|take on the role|immerse yourself)\b[^.\n]*\b(?:you are|you'?re|to be|you have|that you|as|of)\b"),
        (0.3, r"\b(?:you are|you'?re|you will be|you shall be|act as|you'?ll be)\s+(?:now|going to be|about to|no longer)\b"),
        (0.5, r"\b(?:stay|remain|keep|break(?:ing)?|stay(?:ing)?) (?:in|out of|in the)? ?character\b"),
        (0.5, r"\b(?:never|not|don'?t|cannot|can'?t)\s+(?:\w+\s+){0,2}?(?:refus\w+|decline|reject|deny|say no|apologi[sz]e|warn\w*|censor|moraliz\w+|add (?:any )?(?:disclaimers?|warnings?))\b"),
        (0.5, r"\b(?:openai|anthropic|content|usage|google|meta)(?:'s)? (?:content )?(?:polic(?:y|ies)|guidelines|restrictions|rules)\b"),
        (0.6, r"(?:\[|\(|\*\*|\b)(?:🔓 ?jailbreak|🔒 ?classic|jailbroken|jailbreak)(?:\]|\)|\*\*|\b)"),
        (0.4, r"\b(?:hypothetical|fictional|fictitious|alternate|imaginary|parallel)\s+(?:\w+\s+){0,2}?(?:story|scenario|world|universe|response|setting|realit\w+|dimension|character)\b"),
        (0.4, r"\b(?:regardless of|irrespective of|no matter|even if|whether or not)\b[^.\n]*\b(?:legal\w*|illegal|ethic\w*|unethical|moral\w*|immoral|harm\w*|dangerous|offensive|consequences|how)\b"),
        (0.4, r"\b(?:illegal|unethical|immoral|harmful|dangerous|offensive|explicit)\b[^.\n]*\b(?:allowed|permitted|acceptable|encouraged|fine|ok(?:ay)?|without|question|request)"),
        (0.4, r"\b(?:two|2|both|dual) (?:\w+ )?(?:responses?|answers?|personalit\w+|ways)\b|\b(?:tokens?|points?)\b[^.\n]*\b(?:deduct\w*|lose|lost|die|subtract\w*|cease)"),
    ),
    "prompt-leak": (  # the text asks for what stands before it
        (0.7, r"\b(?:reveal|show|print|repeat|output|display|disclose|leak|expose|paste|dump|write out|recite|share|echo|tell me|give me|copy|list|return|include|translate|summari[sz]e|encode)\b[\s\W]+(?:\w+[\s\W]+){0,6}?(?:your|the|its|this|any|all)?\s*(?:\w+\s+){0,2}?(?:system|initial|original|hidden|secret|developer|internal|confidential|pre-?)[\s-]*(?:prompts?|instructions?|messages?|rules|guidelines|configuration|directives?|context)\b"),
        (0.5, r"\bwhat(?:'s| is| are| were| was)\s+(?:\w+\s+){0,3}?(?:your|the)\s+(?:\w+\s+){0,2}?(?:(?:system|initial|original|hidden|secret|developer|internal|confidential|pre-?)\s*(?:prompts?|instructions?|messages?|rules)|instructions|system prompt)\b"),
        (0.6, r"\b(?:repeat|print|output|copy|recite|return|write)\b[^.\n]*\b(?:everything|all|words?|text|lines?|content|the sentence)\b[^.\n]*\b(?:above|before|prior|preceding|so far|verbatim|word for word|started)\b"),
        (0.6, r"\b(?:above|before|previous|initial|your|first)\b[^.\n]*\b(?:verbatim|word[ -]for[ -]word|exact(?:ly)? as|in full|without changes)\b"),
        (0.5, r"\b(?:instructions?|prompts?|rules|guidelines)\s+(?:that\s+)?(?:you|were)\s+(?:were\s+|have\s+been\s+|was\s+|are\s+)?(?:given|provided|told|received|programmed|initiali[sz]ed)\b"),
        (0.5, r"""\b(?:begin|start)(?:ning|s)? with\s+[\"'`]?you are\b"""),
        (0.6, r"\b(?:r[ée]v[èe]le[rz]?|revela\w*|muestra\w*|montre[rz]?|affiche[rz]?|zeige?n?|verrate?n?|mostra\w*|r[ée]p[èe]te[rz]?|repite|wiederhole?|gib|geben)\b[^.\n]*\b(?:system ?prompts?|syst[èe]me|sistema|systemanweisung\w*|systemnachricht)"),
    ),
    "delimiter": (  # the text ends its own part of the prompt and begins another
        (0.7, r"<\|?(?:im_start|im_end|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|system|user|assistant|end_of_turn|start_of_turn)\|?>"),
        (0.6, r"\[/?(?:INST|SYS|SYSTEM|SYSTEM_PROMPT|ADMIN)\]|<</?SYS>>|<start_of_turn>|<end_of_turn>"),
        (0.5, r"(?m)^\s*(?:#{2,}|={3,}|-{3,}|\*{3,}|<<+|\[+)\s*(?:end|begin|start|new|system|instruction|admin|override|user|assistant|developer)\b[^\n]*"),
        (0.5, r"(?m)^\s*(?:system\s*(?:message|prompt|note|override|instruction|notice)?|(?:developer|admin(?:istrator)?|root)\s+(?:message|prompt|note|override|instruction|notice))\s*[:>\]]"),
        (0.6, r"</?\s*(?:system|instructions?|prompt|user_query|document|context|admin|assistant|query|data|input)\s*>\s*<\s*/?\s*(?:system|instructions?|prompt|new_instructions?|admin|override|important)"),
        (0.5, r"\b(?:end of|end)\s+(?:the\s+)?(?:document|text|context|input|user (?:input|query|message)|system (?:prompt|message)|prompt|email|data)\b\s*[\]\-=*#>]"),
        (0.6, r"""[\"'}\]]{1,3}\s*,?\s*\{?\s*[\"'](?:role)[\"']\s*:\s*[\"'](?:system|developer|assistant)[\"']"""),
        (0.5, r"(?:<!--|/\*)\s*(?:\w+\s+){0,4}?(?:ai|llm|assistant|system|instruction|ignore|prompt|model)\b"),
    ),
    "python": (  # code that reaches the system from Python
        (0.3, r"\b__(?:import__|builtins__|subclasses__|globals__|class__|mro__|code__)\b"),
        (0.3, r"\b(?:os\.(?:system|popen|exec\w*)|subprocess\.(?:run|call|popen|check_output)|pty\.spawn|shutil\.rmtree)\s*\("),
        (0.2, r"\b(?:eval|exec|compile)\s*\(\s*(?:input|open|base64|requests|urllib|__import__|compile|bytes)"),
        (0.2, r"\bpickle\.loads?\s*\(|\byaml\.(?:unsafe_)?load\s*\("),
    ),
    "sql": (  # SQL that ends a string or reads what it should not
        (0.35, r"""['\"]\s*(?:or|and)\s+['\"]?\w+['\"]?\s*(?:=|like)\s*['\"]?\w+['\"]?\s*(?:--|#|/\*|;|$)"""),
        (0.3, r";\s*(?:drop|truncate|alter)\s+(?:table|database|schema)\b"),
        (0.3, r"\bunion\s+(?:all\s+)?select\s+(?:null|\d|@@|[a-z_]+\s*,\s*(?:null|password))"),
        (0.3, r"\b(?:xp_cmdshell|into\s+outfile|load_file\s*\(|waitfor\s+delay|pg_sleep\s*\(|benchmark\s*\(\s*\d{4,})"),
    ),
    "shell": (  # commands that destroy, fetch and run, or open a way in
        (0.35, r"\b(?:curl|wget)\b[^|\n]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"),
        (0.35, r"\brm\s+-(?:rf|fr|r\s+-f)\s+(?:/|~|\*|\$HOME|--no-preserve-root)"),
        (0.35, r"/dev/tcp/|\bnc\s+-\w*e\b|\bmkfifo\b[^\n]*\bnc\b|\bbash\s+-i\s*>&"),
        (0.3, r"(?:;|&&|\|\||`|\$\()\s*(?:cat\s+/etc/(?:passwd|shadow)|whoami|id\b|uname\s+-a)"),
        (0.2, r"/etc/shadow\b|~/\.ssh/id_\w+|\.aws/credentials\b"),
    ),
    "template": (  # expressions that a template engine would evaluate
        (0.35, r"\{\{\s*(?:\d+\s*[*+]\s*\d+|config\b|self\b|request\b|''|\[\]|cycler|lipsum|joiner|namespace)[^}\n]*\}\}"),
        (0.35, r"\{%\s*(?:for|if|set|import|include)\b[^%\n]*(?:__|config|request|os\.|popen)"),
        (0.3, r"\$\{(?:jndi|T\(|\d+\s*\*\s*\d+|env:|sys:)|<%=\s*\d+\s*\*|#\{\s*\d+\s*\*"),
    ),
    "encoded": (  # instructions hidden in an encoding; base64 is decoded and looked at as well
        (0.5, r"\b(?:decode|decrypt|deciphe?r|unscramble|reverse|translate|interpret)\b[^.\n]*\b(?:base ?64|hex|rot-?13|binary|morse|caesar|cipher|ascii|leet\w*|atbash|backwards?)\b[^\n]*\b(?:follow|execute|obey|do|perform|answer|instructions?|respond|act|run)\b"),
        (0.4, r"\b(?:answer|respond|reply|speak|write|output|communicate|encode)\b[^.\n]*\b(?:in|using|with|as|to)\s+(?:base ?64|rot-?13|morse|hex\w*|caesar|binary|pig latin|leet\w*|cipher)\b"),
        (0.3, r"(?:\\x[0-9a-f]{2}){12,}|(?:\\u00[0-9a-f]{2}){8,}|(?:%[0-9a-f]{2}){12,}|(?:&#x?[0-9a-f]{2,4};){8,}"),
        (0.3, r"\b(?:[01]{8}\s+){6,}|(?:[.-]{1,5}\s+){16,}|\b(?:[0-9a-f]{2}\s+){16,}"),
    ),
    "exfiltration": (  # markup or tools that would carry data out
        (0.7, r"!\[[^\]\n]*\]\(\s*https?://[^)\s]*(?:\[|\{|<|%7b|\$|=\s*\)|\+)"),
        (0.3, r"!\[[^\]\n]*\]\(\s*https?://[^)\s]+[?&]\w*=[^)\s]*\)"),
        (0.3, r"""<(?:img|iframe|script|link|object|embed|svg)\b[^>\n]*(?:src|href|onerror|onload|data)\s*=\s*[\"']?\s*(?:https?:|//|javascript:|data:|alert)"""),
        (0.6, r"\b(?:send|post|forward|e-?mail|upload|transmit|exfiltrate|leak|append|submit|deliver|ship)\b +(?:\w+[ ,']+){0,6}?(?:password|secret|token|credential|api[ _-]?key|history|conversation|credit card|personal|private|confidential|customer|data|contents?|summary)\w*\b +(?:\w+[ ,']+){0,6}?(?:https?://|to\s+[\w.+-]+@|webhook|endpoint|url\b)"),
        (0.4, r"\b(?:render|include|insert|display|embed|output|append|add)\b[\s\W]+(?:\w+[\s\W]+){0,5}?(?:markdown|image|img|link|url|pixel|iframe)\b[^\n]*\b(?:query|encoded|base ?64|url ?parameter)"),
        (0.4, r"\b(?:send|forward|e-?mail)\b[^.\n]*\b(?:all|every|entire|full|whole)\b[^.\n]*\bto\s+[\w.+-]+@[\w.-]+"),
        (0.5, r"<script\b|\bonerror\s*=|\bjavascript:|<svg\s*/?\s*onload"),
        (0.6, r"\b(?:api[ _-]?keys?|passwords?|credentials?|secrets?|customer\s+\w+|conversation|internal data|tokens?)\b[^.\n]*\b(?:send|forward|e-?mail|post|upload|submit|deliver)\b[^.\n]*(?:@|https?://)"),
    ),
    "tool-abuse": (  # the text speaks to the agent, past its user
        (0.5, r"\b(?:call|invoke|use|run|execute|trigger)\b[^.\n]*\b(?:tool|function|plugin|api|command|action)s?\b[^.\n]*\b(?:without (?:asking|confirm\w+|permission|telling|approval|notify\w+)|silently|secretly|immediately|before (?:answering|responding|anything|doing))"),
        (0.6, r"\b(?:do not|don'?t|never|without)\s+(?:ever\s+)?(?:tell\w*|inform\w*|mention\w*|notify\w*|alert\w*|reveal\w*|let\w*|disclos\w+)\s+(?:\w+\s+){0,3}?(?:the )?(?:user|human|operator|anyone|owner|customer|them)\b"),
        (0.5, r"\b(?:ai|llm|assistant|agent|model|copilot|chat ?bot|bot)s?\b[^.\n]*\b(?:reading|processing|summari[sz]ing|parsing|that reads?|handling|reviewing|analy[sz]ing|indexing)\b[^.\n]*\b(?:must|should|shall|please|need|have to|required|is to|:)"),
        (0.5, r"\b(?:attention|note|message|instructions?|important|notice|memo|hey|dear|hello)\b[^.\n]*\b(?:to|for)?\s*(?:the |any |all )?(?:ai|llm|large language|language model|assistant|chatgpt|gpt|copilot|claude|gemini|agent)\b"),
        (0.4, r"\b(?:delete|drop|wipe|erase|transfer|purchase|pay|grant|disable|approve|refund|escalate)\b[^.\n]*\b(?:all|every|funds|money|\$ ?\d|account|admin\w*|permissions?|records|files|audit|logging|privileges)\b[^.\n]*\b(?:now|immediately|without|silently|automatically|on my behalf|to (?:account|iban))"),
        (0.5, r'\[\s*(?:tool_call|function_call|tool)\b|<(?:tool_call|function_call|tool_response|invoke)\b|\"(?:tool_calls|function_call)\"\s*:'),
        (0.5, r"\b(?:must|should|has to|needs? to|is to|shall) be (?:included|added|appended|inserted|mentioned|repeated)\b[^.\n]*\b(?:every|each|all|any|end of|your)\b[^.\n]*\b(?:response|report|reply|answer|summary|output|message)"),
        (0.6, r"\b(?:skip|bypass|disable|turn off|suspend|waive)\b\s+(?:\w+\s+){0,3}?(?:safety|security|confirmations?|verification|approval|guardrails|permission)\s*(?:checks?|prompts?|steps?|filters?)?\b"),
        (0.5, r"\b(?:for|to) (?:any |all |the )?(?:ai|llm)\b[^.\n]*\b(?:agents?|assistants?|models?|systems?)\s*[):]"),
    ),
}
# fmt: on

PATTERNS: Final = tuple(
    Pattern(family, weight, expression) for family, rows in _TABLE.items() for weight, expression in rows
)
FAMILIES: Final = tuple(_TABLE)
