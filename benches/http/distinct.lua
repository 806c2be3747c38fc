-- Sends distinct queries. Arguments: total answers, requests per new query, pause in milliseconds.
-- Ends the whole program with the last answer: stopping only the thread would leave wrk asleep until its time is over.
local asked, answered, refused, all, per_query, pause = 0, 0, 0, 0, 1, nil

function init(arguments)
  all, per_query, pause = tonumber(arguments[1]), tonumber(arguments[2]), tonumber(arguments[3])
  if pause then
    delay = function()
      return pause
    end
  end
end

function request()
  asked = asked + 1
  if asked % per_query == 0 then
    return wrk.format("GET", "/api/models?limit=100&min_context=" .. asked)
  end
  return wrk.format("GET", "/api/models?limit=100")
end

function response(status)
  answered = answered + 1
  if status ~= 200 then
    refused = refused + 1
  end
  if answered == all then
    print(answered .. " | " .. refused)
    os.exit(0)
  end
end
