-- Prints one line of figures instead of wrk's report: requests per second, p50 and p99 in microseconds, failed requests,
-- answers.
function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format("%.1f\t%d\t%d\t%d\t%d\n", summary.requests / summary.duration * 1e6, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout, summary.requests))
end
