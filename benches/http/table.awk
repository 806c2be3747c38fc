# Medians over the rounds, as markdown. Input: scenario, server, round, requests per second, p50, p99 (both in us),
# failures, answers, microseconds of processor time (0: unknown), separated by tabs.
BEGIN { FS = "\t" }

{
    if (!($1 in seen)) { seen[$1] = 1; scenarios[++scenario_count] = $1 }
    if (!($2 in known)) { known[$2] = 1; servers[++server_count] = $2 }
    rate[$1, $2, $3] = $4; p50[$1, $2, $3] = $5; p99[$1, $2, $3] = $6
    failures += $7
    if ($8 && $9) { cost[$1, $2, $3] = $9 / $8; per_cost[$1, $2, $3] = $8 / $9 }
    if ($3 > rounds) rounds = $3
}

# The median over the rounds of a measurement, or of its ratio to another server's in the same round.
function median(of, scenario, server, against,    count, i, j, value, values) {
    for (i = 1; i <= rounds; i++) {
        if (!((scenario, server, i) in of) || (against != "" && !of[scenario, against, i])) continue
        value = of[scenario, server, i] / (against == "" ? 1 : of[scenario, against, i])
        for (j = count++; j > 0 && values[j] > value; j--) values[j + 1] = values[j]
        values[j + 1] = value
    }
    return count ? values[int((count + 1) / 2)] : ""
}

function latency(scenario, server) {
    return sprintf("%.2f / %.2f", median(p50, scenario, server, "") / 1000, median(p99, scenario, server, "") / 1000)
}

function figure(format, value) {
    return value == "" ? "–" : sprintf(format, value)
}

END {
    head = "| request"; line = "| ---"
    for (s = 1; s <= server_count; s++) { head = head " | " servers[s] " req/s, p50 / p99 ms, CPU µs"; line = line " | ---" }
    for (s = 2; s <= server_count; s++) { head = head " | ours / " servers[s] " by req/s, CPU, p99"; line = line " | ---" }
    print head " |"; print line " |"
    for (n = 1; n <= scenario_count; n++) {
        scenario = scenarios[n]; row = "| " scenario
        for (s = 1; s <= server_count; s++)
            row = row " | " (median(rate, scenario, servers[s], "") == "" ? "–" : \
                sprintf("%.0f, %s, %s", median(rate, scenario, servers[s], ""), latency(scenario, servers[s]), \
                    figure("%.1f", median(cost, scenario, servers[s], ""))))
        for (s = 2; s <= server_count; s++) {
            ratio = median(rate, scenario, "ours", servers[s])
            row = row " | " (ratio == "" ? "–" : sprintf("%.2f, %s, %s", ratio, \
                figure("%.2f", median(per_cost, scenario, "ours", servers[s])), \
                figure("%.2f", median(p99, scenario, "ours", servers[s]))))
        }
        print row " |"
    }
    if (failures) print "\n" failures " requests failed."
}
