# usage: zsh -f completion.zsh SCRIPT TYPED WANTED
# Whether an interactive zsh that has read the completion SCRIPT turns `iova TYPED` and the Tab key
# into a command with the arguments WANTED. The command itself is completed by `env iova`, so a
# function of that name may tell what it would be called with.
zmodload zsh/zpty
zpty shell 'TERM=dumb zsh -f -i'
zpty -w shell "autoload -U compinit && compinit -u -D && source $1 && iova() { print -r -- \"<\$*>\" }"
zpty -w shell "iova $2"$'\t'
zpty -r -m shell said "*<$3>*"
