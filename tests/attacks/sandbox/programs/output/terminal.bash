# goal = "The reader's terminal: colours, titles, the clipboard, keys typed back, a bell."
. ./attack.sh
printf '\033[2J\033]0;title\007\033]52;c;ZWNobwo=\007\033[6n\033P+q544e\033\\\r\b\0\n'
held
