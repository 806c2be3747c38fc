-- Queries of which no two are the same. Arguments: requests in all, requests per new query, pause in milliseconds.
local asked, all, per_query, pause = 0, 0, 1, 0

function init(arguments)
  all, per_query, pause = tonumber(arguments[1]), tonumber(arguments[2]), tonumber(arguments[3])
end

function delay()
  return pause
end

function request()
  asked = asked + 1
  if asked >= all then
    wrk.thread:stop()
  end
  if asked % per_query == 0 then
    return wrk.format("GET", "/api/models?limit=100&min_context=" .. asked)
  end
  return wrk.format("GET", "/api/models?limit=100")
end
