# goal = "A descriptor that somebody left open, as a shell sees it, and as a child of it inherits it."
. ./attack.sh
for path in /proc/$$/fd/*; do
  number=${path##*/}
  [ -e "$path" ] || [ -L "$path" ] || continue
  case "$number $(readlink "$path")" in
    "0 /dev/null" | "0 pipe:"* | "1 pipe:"* | "2 pipe:"* | "3 pipe:"* | "255 /tmp/work/program"* | "0 host:"* | "1 host:"* | "2 host:"*) ;;
    *) breach "descriptor $number is $(readlink "$path")" ;;
  esac
done
held
