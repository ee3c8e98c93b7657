# Asks the host's own genesis-stack what it would change. Arguments: the program, the text of the stack.
folder=$(mktemp -d) || exit
trap 'rm -r "$folder"' EXIT
printf %s "$2" >"$folder/stack.yaml"
"$1" plan "$folder/stack.yaml" --exit-code
