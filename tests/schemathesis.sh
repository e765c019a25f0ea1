#!/usr/bin/env bash
# Holds the running program against its own /openapi.json with schemathesis (from PyPI; not needed by ./test):
#
#   pip install schemathesis
#   tests/schemathesis.sh [BINARY [EXAMPLES]]
#
# Starts the binary (target/release/switchhook) on a free port over a directory of its own, sends that many
# generated requests (30) to each operation, and ends it. Exits with what schemathesis says.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-target/release/switchhook}
examples=${2:-30}
directory=$(mktemp -d)
key=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

"$binary" serve --set "data_dir=$directory/data" --set http.listen=127.0.0.1:0 --set "auth.master_api_key=$key" \
  --set rate_limit.burst=0 --set auth.wrong_credentials_burst=0 \
  >"$directory/ready" 2>"$directory/log" &
pid=$!
trap 'kill "$pid" 2>/dev/null; wait "$pid" || true; rm -rf "$directory"' EXIT

for _ in $(seq 300); do
  [ -s "$directory/ready" ] && break
  kill -0 "$pid" || { cat "$directory/log"; exit 1; }
  sleep 0.1
done
base=$(python3 -c 'import json,sys; print("http://" + json.loads(open(sys.argv[1]).readline())["http"])' "$directory/ready")
token=$(curl -sS -X PUT "$base/v2/api_auth" -H 'content-type: application/json' -d "{\"data\":{\"api_key\":\"$key\"}}" |
  python3 -c 'import json,sys; print(json.load(sys.stdin)["auth_token"])')

config=$PWD/tests/schemathesis.toml
# What schemathesis leaves behind goes with the directory.
cd "$directory"
schemathesis --config-file "$config" run "$base/openapi.json" --header "X-Auth-Token: $token" --max-examples "$examples" --seed 1
