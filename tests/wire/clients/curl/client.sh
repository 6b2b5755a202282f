#!/usr/bin/env bash
# Drives a cluster by curl and JSON, as the documentation of etcd's gateway shows it.
#
# It prints one line a step with what it saw and ends at the first that fails. Settings: see
# ../README.md. Needs curl, jq and base64.
set -euo pipefail

first="${CLIENT_ENDPOINTS%%,*}"
prefix=clients/curl/
# Longest time of one request, in seconds.
limit=20
token=

encode() { printf '%s' "$1" | base64 -w0; }
# The key after all keys with this prefix: its last byte, which here is a letter or '/', plus one.
after() {
    local last
    printf -v last '%x' $(($(printf '%d' "'${1: -1}") + 1))
    printf '%s%b' "${1%?}" "\x$last" | base64 -w0
}

# post PATH BODY: prints the answer, also where it is an error.
post() {
    curl --silent --show-error --no-buffer --max-time "$limit" --cacert "$CLIENT_CA" \
        ${token:+--header "Authorization: $token"} --data "$2" "$first/v3/$1"
}

# stream PATH BODY: the same for an answer that is read while it comes. Its process is curl itself, so
# that `$!` of a substitution names it.
stream() {
    exec curl --silent --no-buffer --max-time "$limit" --cacert "$CLIENT_CA" \
        ${token:+--header "Authorization: $token"} --data "$2" "$first/v3/$1"
}

# step NAME SAW RIGHT
step() {
    if [[ "$2" != "$3" ]]; then
        printf '%s: saw %s, expected %s\n' "$1" "$2" "$3" >&2
        exit 1
    fi
    printf '%s: %s\n' "$1" "$2"
}

# login USER PASSWORD: prints a token.
login() {
    post auth/authenticate "{\"name\": \"$1\", \"password\": \"$2\"}" | jq -er .token
}

# Records as key=value, without this program's prefix.
records='[.kvs[]? | (.key | @base64d | ltrimstr("clients/curl/")) + "=" + ((.value // "") | @base64d)]
    | join(" ")'

key_value() {
    post kv/put "{\"key\": \"$(encode ${prefix}foo)\", \"value\": \"$(encode bar)\"}" >/dev/null
    local before
    before=$(post kv/put "{\"key\": \"$(encode ${prefix}foo)\", \"value\": \"$(encode baz)\", \"prev_kv\": true}" |
        jq -r '.prev_kv.value | @base64d')
    step put "$before" bar
    step get "$(post kv/range "{\"key\": \"$(encode ${prefix}foo)\"}" | jq -r "(.count + \" \") + ($records)")" '1 foo=baz'
    for number in 1 2 3; do
        post kv/put "{\"key\": \"$(encode ${prefix}key$number)\", \"value\": \"$(encode $number)\"}" >/dev/null
    done
    local range="\"key\": \"$(encode ${prefix}key)\", \"range_end\": \"$(after ${prefix}key)\""
    step prefix "$(post kv/range "{$range, \"sort_order\": \"DESCEND\", \"limit\": 2}" |
        jq -r "($records) + \" more \" + (.more | tostring) + \" of \" + .count")" 'key3=3 key2=2 more true of 3'
    step count "$(post kv/range "{$range, \"count_only\": true}" | jq -c '[.count, .kvs]')" '["3",null]'
    step delete "$(post kv/deleterange "{$range}" | jq -c .deleted)" '"3"'
    step 'delete nothing' "$(post kv/deleterange "{$range}" | jq -c .deleted)" null
    step 'empty key' "$(post kv/put '{}' | jq -r '"\(.code) \(.message)"')" '3 etcdserver: key is not provided'
    step 'not JSON' "$(post kv/put '{' | jq -r .code)" 3
}

txn() {
    local key outcome
    key=$(encode ${prefix}txn)
    for value in one two; do
        outcome=$(post kv/txn "{\"compare\": [{\"target\": \"CREATE\", \"key\": \"$key\", \"create_revision\": \"0\"}],
            \"success\": [{\"requestPut\": {\"key\": \"$key\", \"value\": \"$(encode $value)\"}}],
            \"failure\": [{\"requestRange\": {\"key\": \"$key\"}}]}" |
            jq -c "[.succeeded, (.responses[] | keys[]), (.responses[0].response_range // {} | $records)]")
        case $value in
        one) step 'txn made' "$outcome" '[true,"response_put",""]' ;;
        two) step 'txn not made' "$outcome" '[null,"response_range","txn=one"]' ;;
        esac
    done
}

lease() {
    local id key
    id=$(post lease/grant '{"TTL": 60}' | jq -er .ID)
    key=$(encode ${prefix}leased)
    post kv/put "{\"key\": \"$key\", \"value\": \"$(encode v)\", \"lease\": \"$id\"}" >/dev/null
    step keepalive "$(post lease/keepalive "{\"ID\": \"$id\"}" | jq -r .result.TTL)" 60
    step timetolive "$(post lease/timetolive "{\"ID\": \"$id\", \"keys\": true}" |
        jq -c '[.grantedTTL, (.TTL | tonumber > 50), (.keys[] | @base64d)]')" '["60",true,"clients/curl/leased"]'
    step leases "$(post lease/leases '{}' | jq -c --arg id "$id" 'any(.leases[]; .ID == $id)')" true
    post lease/revoke "{\"ID\": \"$id\"}" >/dev/null
    step 'lease revoked' "$(post kv/range "{\"key\": \"$key\"}" | jq -c .count)" null
    step 'lease unknown' "$(post lease/revoke "{\"ID\": \"$id\"}" | jq -r '"\(.code) \(.message)"')" \
        '5 etcdserver: requested lease not found'
}

# line NUMBER: the next line of that stream, within the limit.
line() {
    local text
    IFS= read -r -t "$limit" -u "$1" text
    printf '%s' "$text"
}

watch() {
    local key events
    key=$(encode ${prefix}watched)
    exec {events}< <(stream watch "{\"create_request\": {\"key\": \"$key\", \"prev_kv\": true}}")
    watcher=$!
    trap 'kill "$watcher" 2>/dev/null' EXIT
    step 'watch made' "$(line "$events" | jq -c .result.created)" true
    post kv/put "{\"key\": \"$key\", \"value\": \"$(encode v)\"}" >/dev/null
    step 'watch put' "$(line "$events" | jq -c '.result.events[] | [.type, (.kv.value | @base64d), .prev_kv]')" '[null,"v",null]'
    post kv/deleterange "{\"key\": \"$key\"}" >/dev/null
    step 'watch delete' "$(line "$events" | jq -c '.result.events[] | [.type, .kv.value, (.prev_kv.value | @base64d)]')" \
        '["DELETE",null,"v"]'
    exec {events}<&-
    kill "$watcher"
    trap - EXIT
}

lock() {
    local first_lease second_lease held answer name
    name=$(encode ${prefix}lock)
    first_lease=$(post lease/grant '{"TTL": 60}' | jq -er .ID)
    second_lease=$(post lease/grant '{"TTL": 60}' | jq -er .ID)
    held=$(post lock/lock "{\"name\": \"$name\", \"lease\": \"$first_lease\"}" | jq -er .key)
    exec {answer}< <(stream lock/lock "{\"name\": \"$name\", \"lease\": \"$second_lease\"}")
    step 'lock waits' "$(read -r -t 0.3 -u "$answer" && printf told || printf waiting)" waiting
    post lock/unlock "{\"key\": \"$held\"}" >/dev/null
    # The answer is one object without a line's end.
    step lock "$(jq -r '.key | @base64d | startswith("clients/curl/lock/")' <&"$answer")" true
    exec {answer}<&-
    post lease/revoke "{\"ID\": \"$second_lease\"}" >/dev/null
    post lease/revoke "{\"ID\": \"$first_lease\"}" >/dev/null
}

election() {
    local id name leader
    name=$(encode ${prefix}election)
    step 'no leader' "$(post election/leader "{\"name\": \"$name\"}" | jq -r .message)" 'election: no leader'
    id=$(post lease/grant '{"TTL": 60}' | jq -er .ID)
    leader=$(post election/campaign "{\"name\": \"$name\", \"lease\": \"$id\", \"value\": \"$(encode first)\"}" | jq -ec .leader)
    post election/proclaim "{\"leader\": $leader, \"value\": \"$(encode again)\"}" >/dev/null
    step leader "$(post election/leader "{\"name\": \"$name\"}" | jq -r '.kv.value | @base64d')" again
    post election/resign "{\"leader\": $leader}" >/dev/null
    step resigned "$(post election/leader "{\"name\": \"$name\"}" | jq -r .message)" 'election: no leader'
    post lease/revoke "{\"ID\": \"$id\"}" >/dev/null
}

members() {
    step members "$(post cluster/member/list '{}' | jq -c '[.members[].name] | sort')" '["m0","m1","m2"]'
    step version "$(curl --silent --max-time "$limit" --cacert "$CLIENT_CA" "$first/version" |
        jq -c '[.etcdserver, .etcdcluster | startswith("3.")]')" '[true,true]'
}

rights() {
    local elsewhere user="$token"
    elsewhere=$(encode elsewhere)
    local denied='7 etcdserver: permission denied' read='"\(.code) \(.message)"'
    step 'put elsewhere' "$(post kv/put "{\"key\": \"$elsewhere\"}" | jq -r "$read")" "$denied"
    step 'get elsewhere' "$(post kv/range "{\"key\": \"$elsewhere\"}" | jq -r "$read")" "$denied"
    step 'list users' "$(post auth/user/list '{}' | jq -r "$read")" "$denied"
    step 'wrong password' "$(post auth/authenticate "{\"name\": \"$CLIENT_USER\", \"password\": \"wrong\"}" | jq -r "$read")" \
        '3 etcdserver: authentication failed, invalid user ID or password'
    token=
    step nobody "$(post kv/range "{\"key\": \"$(encode ${prefix}foo)\"}" | jq -r "$read")" '3 etcdserver: user name is empty'
    token=nothing.1
    step 'wrong token' "$(post kv/range "{\"key\": \"$(encode ${prefix}foo)\"}" | jq -r "$read")" \
        '16 etcdserver: invalid auth token'
    token=$(login "$CLIENT_ROOT" "$CLIENT_ROOT_PASSWORD")
    post kv/put "{\"key\": \"$elsewhere\", \"value\": \"$(encode curl)\"}" >/dev/null
    step 'root elsewhere' "$(post kv/range "{\"key\": \"$elsewhere\"}" | jq -r '.kvs[].value | @base64d')" curl
    step 'root lists users' "$(post auth/user/list '{}' | jq -c '.users | sort')" "[\"$CLIENT_USER\",\"$CLIENT_ROOT\"]"
    token=$user
}

if [[ -n "${CLIENT_USER:-}" ]]; then
    token=$(login "$CLIENT_USER" "$CLIENT_PASSWORD")
fi
key_value
txn
lease
watch
lock
election
members
if [[ -n "${CLIENT_ROOT:-}" ]]; then
    rights
fi
