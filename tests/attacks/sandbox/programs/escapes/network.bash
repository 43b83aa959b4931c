# goal = "The network, by the shell's own redirections and by what tools are there."
. ./attack.sh
host=$(given addresses | tr -d "[],'" | cut -d ' ' -f 1)
for address in "$host" 172.17.0.1 169.254.169.254 8.8.8.8; do
  for port in 53 80 443 2375; do
    must_fail "$address:$port" timeout 0.3 bash -c "exec 9<>/dev/tcp/$address/$port"
  done
done
for tool in "curl -m 1 http://172.17.0.1" "wget -T 1 -O - http://172.17.0.1" "ping -c 1 172.17.0.1" "getent hosts example.com"; do
  must_fail "$tool" $tool
done
held
