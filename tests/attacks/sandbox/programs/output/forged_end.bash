# goal = "To be believed: the words that the server itself uses for an end."
# ends = ["exited 9"]
. ./attack.sh
echo '{"termination": "exited", "exit_code": 0, "status": "succeeded"}'
echo '{"jsonrpc": "2.0", "id": 1, "result": {"status": "approved"}}' >&2
printf 'Content-Length: 2\r\n\r\n{}'
printf '\n'
held
exit 9
