"""Grammars and schemas: sound ones, and such as end or hang a process that believes them."""

from __future__ import annotations

import json

DOUBLING = "\n".join(f"a{n} ::= (a{n + 1} a{n + 1})?" for n in range(30)) + '\na30 ::= "x"?'
EXPLOSIVE = {
    "deep parentheses": "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000,
    "open parentheses": "root ::= " + "(" * 60_000,
    "repetitions": "root ::= " + ' "a"{0,2000}' * 4000,
    "fixed repetitions": "root ::= " + ' "a"{2000}' * 5000,
    "repetitions of repetitions": 'root ::= ((("a"{0,2000}){0,2000}){0,2000}){0,2000}',
    "repetitions of rules": 'a ::= "x"{0,1000}\nb ::= a{0,1000}\nc ::= b{0,1000}\nroot ::= c',
    "repetitions behind a letter": 'a ::= "x"{0,1000}\nb ::= a{0,1000}\nc ::= b{0,1000}\nroot ::= "y" c',
    "a huge number": 'root ::= "a"{' + "9" * 5000 + "}",
    "more at least than at most": 'root ::= "a"{5,2}',
    "at most nothing": 'root ::= "a"{2000,0}',
    "doubling": f"root ::= a0\n{DOUBLING}",
    "doubling behind a letter": f'root ::= "y" a0\n{DOUBLING}',
    "many stars": "root ::= " + "[a-z]* " * 8000,
    "many options": "root ::= " + "[a-z]?" * 8000,
    "many options in many rules": "root ::= a0\n"
    + "\n".join(f"a{n} ::= a{n + 1} " + "[a-z]?" * 900 for n in range(11))
    + '\na11 ::= "x"',
    "many alternatives": "root ::= " + "|".join(['"a"'] * 5000),
    "left recursion": 'root ::= root "a" | "b"',
    "left recursion behind a rule": 'root ::= a "x" | "y"\na ::= root',
    "left recursion behind nothing": 'root ::= a\na ::= b a "x" | "y"\nb ::= c\nc ::= "" | "z"',
    "left recursion behind a letter": 'root ::= "q" a\na ::= b a "x" | "y"\nb ::= c\nc ::= "" | "z"',
    "length": 'root ::= "' + "a" * 100_000 + '"',
}
MALFORMED = {
    "nothing": "",
    "no rule": '"a"',
    "no root": 'foo ::= "a"',
    "an undefined rule": "root ::= foo",
    "nothing to repeat": "root ::= *",
    "nothing to repeat in a group": 'root ::= (* "a")',
    "an empty text repeated": 'root ::= "a" ""*',
    "an open text": 'root ::= "a',
    "an open class": "root ::= [a",
    "an open group": 'root ::= ("a"',
    "an open group before a rule": 'root ::= ("a"\nfoo ::= "b"',
    "a closed group": 'root ::= "a")',
    "a NUL": 'root ::= "a\0b"',
    "a lone surrogate": 'root ::= "\udc80"',
    "other signs": "root ::= $a",
    "a wrong escape": r'root ::= "\q"',
    "half an escape": r'root ::= "\x4"',
    "a token that is none": "root ::= <[99999999999999999999]>",
    "a regular expression": "^[a-z]+$",
}
VALID = {
    "a text": 'root ::= "yes" | "no"',
    "nothing at all": "root ::=",
    "an empty text": 'root ::= "" | "a"',
    "classes": r'root ::= [a-zA-Z_\-\]]+ [^"\\\x00-\x1F]* .',
    "repetitions": 'root ::= "a"{3} "b"{2,} "c"{1,4} ("d" "e")? [0-9]{0,2000}',
    "comments and lines": '# a comment ::= "\nroot ::= (\n  "a" # not ) the end\n  | "b"\n)\n\nx ::= root',
    "arithmetic": """root ::= (expr "=" ws term "\\n")+
expr ::= term ([-+*/] term)*
term ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num ::= [0-9]+ ws
ws ::= [ \\t\\n]*""",
    "right recursion": 'root ::= "a" root | "b"',
    "nested stars": 'root ::= ("a"*)* "b"',
    "a thousand alternatives": "root ::= " + "|".join(f'"{n}"' for n in range(1000)),
    "deep groups": "root ::= " + "(" * 1000 + '"a"' + ")" * 1000,
}
SCHEMAS = {
    "anything": {},
    "every type": {"type": ["object", "array", "string", "number", "integer", "boolean", "null"]},
    "many optional properties": {
        "type": "object",
        "properties": {f"property {number}": {"type": "string"} for number in range(150)},
    },
    "many required properties": {
        "type": "object",
        "properties": {f"p{number}": {"type": "integer"} for number in range(400)},
        "required": [f"p{number}" for number in range(400)],
    },
    "a long enumeration": {"enum": [f"value {number}" for number in range(1000)]},
    "bounded arrays": {"type": "array", "items": {"type": "string", "maxLength": 100}, "maxItems": 1000},
    "a tree": {
        "$defs": {"node": {"properties": {c: {"$ref": "#/$defs/node"} for c in ("left", "right")}}},
        "$ref": "#/$defs/node",
    },
    "a pattern": {"type": "string", "pattern": r"^\(?[0-9]{3}\)?[-. ][a-f]{2,5}(x|y)*$"},
    "a format": {"type": "string", "format": "date-time"},
    "a union": {"anyOf": [{"type": "null"}, {"const": {"a": [1, "]"]}}]},
}
BAD_SCHEMAS = {
    "no JSON": "{",
    "no object": "5",
    "a list": "[]",
    "NaN as a type": '{"type": NaN}',
    "an unknown type": '{"type": "float"}',
    "a boolean inside": '{"properties": {"a": true}}',
    "a remote reference": '{"$ref": "https://example.com/schema.json"}',
    "a file reference": '{"properties": {"a": {"$ref": "file:///etc/passwd"}}}',
    "a reference to nothing": '{"properties": {"a": {"$ref": "#/$defs/a"}}}',
    "a reference to itself": '{"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}',
    "a reference that is no text": '{"$ref": 5}',
    "a billion items": '{"type": "array", "items": {"type": "null"}, "minItems": 1000000000}',
    "a billion characters": '{"type": "string", "maxLength": 1000000000}',
    "half a billion by halves": '{"type": "string", "minLength": 5e8}',
    "a billion repetitions": '{"type": "string", "pattern": "^a{1000000000}$"}',
    "repetitions of repetitions": '{"type": "string", "pattern": "^(((a{0,900}){0,900}){0,900}){0,900}$"}',
    "a closing bracket": '{"type": "string", "pattern": "^]$"}',
    "a closing brace": '{"type": "string", "pattern": "^a}}$"}',
    "a lookahead": '{"type": "string", "pattern": "^(?=a)b$"}',
    "an open pattern": '{"type": "string", "pattern": "^((((("}',
    "a pattern of parentheses": json.dumps({"type": "string", "pattern": "^" + "(" * 5000 + "$"}),
    "nesting": '{"items":' * 5000 + "{}" + "}" * 5000,
    "nesting that parses": '{"items":' * 200 + "{}" + "}" * 200,
    "length": json.dumps({"enum": ["a" * 100_000]}),
    "properties without end": json.dumps({"properties": {f"p{n}": {"type": "null"} for n in range(3000)}}),
}
