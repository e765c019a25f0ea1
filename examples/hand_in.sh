#!/bin/sh
# Hands in events over HTTP. The key makes it safe to run again after a timeout: what was stored is not stored twice.
#
#   API=http://127.0.0.1:8000/v2 API_KEY=... ./examples/hand_in.sh call-17-created < event.json
set -eu

key=$1

token=$(printf '{"data":{"api_key":"%s"}}' "$API_KEY" |
  curl -sS --fail-with-body -X PUT "$API/api_auth" -H 'content-type: application/json' --data-binary @- |
  sed 's/.*"auth_token":"\([^"]*\)".*/\1/')

{ printf '{"data":'; cat; printf '}'; } |
  curl -sS --fail-with-body --retry 5 -X PUT "$API/account/events" -H "x-auth-token: $token" \
    -H 'content-type: application/json' -H "idempotency-key: $key" --data-binary @-
echo
