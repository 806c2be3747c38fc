# Sourced by `run`: floods next to a polite client from another address, for our server and the bare one in turn.
# shellcheck shell=bash disable=SC2154

# The polite client's limit per minute; it sends a sixtieth of it per second.
flood_settings=(RATE_LIMIT=6000)
flood_seconds=8

# polite URL: prints p50 and p99 in microseconds, then the answers by status.
polite() {
    taskset --cpu-list "$load_core" python3 benches/http/flood.py polite "$1" "$flood_seconds"
}

# under FLOOD SERVER: prints one row. The polite client has priority where both need the same core.
under() {
    local kind=$1 server=$2 url=${!2} id=${2}_id flooder before during p50 p99 answered
    before=$(resident "${!id}")
    taskset --cpu-list "$load_core" nice -n 19 python3 benches/http/flood.py "$kind" "$url" "$((flood_seconds + 1))" \
        >"$folder/flood" &
    flooder=$!
    sleep 0.5
    IFS=$'\t' read -r p50 p99 answered < <(polite "$url")
    during=$(resident "${!id}")
    wait "$flooder"
    printf '| %s | %s | %s | %s | %s | %s, %s, %s | %s |\n' "$kind" "$server" "$p50" "$p99" "$answered" \
        "$before" "$during" "$(resident "${!id}")" "$(cat "$folder/flood")"
}

flood() {
    local kind server p50 p99 answered
    start_bare /api/models
    printf '| flood | server | polite: p50 µs | p99 µs | answers | MB before, during, after | answers to the flood |\n'
    printf '| --- | --- | --- | --- | --- | --- | --- |\n'
    for server in ours bare; do
        IFS=$'\t' read -r p50 p99 answered < <(polite "${!server}")
        printf '| none | %s | %s | %s | %s | | |\n' "$server" "$p50" "$p99" "$answered"
    done
    for kind in heads bodies uris often; do
        for server in ours bare; do under "$kind" "$server"; done
    done
    printf 'Lines in the log of ours at the end: %s\n' "$(wc -l <"$folder/ours.log")"
}

# Clients that never read: their cost, and how many still have a connection after 40 s by the server's count.
readers() {
    local before during reader
    before=$(resident "$ours_id")
    python3 benches/http/flood.py readers "$ours" 60 >"$folder/flood" &
    reader=$!
    sleep 5
    during=$(resident "$ours_id")
    sleep 35
    printf '| models | MB before | with 200 that do not read | after 40 s | connections then |\n'
    printf '| --- | --- | --- | --- | --- |\n| %s | %s | %s | %s | %s |\n' "${MODELS:-120}" "$before" "$during" \
        "$(resident "$ours_id")" "$(ss -Htn state established "sport = :${ours##*:}" | wc -l)"
    finish_one "$reader"
}
