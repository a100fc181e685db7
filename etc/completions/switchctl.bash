# bash completion for switchctl(8). The program itself has the script: it asks
# the daemon what there is, through `switchctl __complete`.
eval "$(switchctl completion bash 2>/dev/null)"
