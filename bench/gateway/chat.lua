-- What wrk sends and reports. From the environment: KEY, MODEL, STREAM (set: a stream), BODY_BYTES
-- (the body's exact length), GET (set: no body at all). Prints one line of numbers for load.py.

local stream = os.getenv("STREAM")
local key = os.getenv("KEY")

if key then
   wrk.headers["Authorization"] = "Bearer " .. key
end

if not os.getenv("GET") then
   local before = '{"model":"' .. os.getenv("MODEL") .. '",'
      .. (stream and '"stream":true,"stream_options":{"include_usage":true},' or "")
      .. '"max_tokens":64,"temperature":0.7,"messages":['
      .. '{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"'
   local after = '"}]}'
   local words = "Tell me about the history of the quick brown fox, please. "
   local room = tonumber(os.getenv("BODY_BYTES")) - #before - #after
   local content = string.rep(words, math.ceil(math.max(room, 1) / #words)):sub(1, math.max(room, 1))
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   wrk.body = before .. content .. after
end

done = function(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      "RESULT requests=%d seconds=%.6f bytes=%d p50=%d p99=%d failed=%d\n",
      summary.requests, summary.duration / 1e6, summary.bytes,
      latency:percentile(50), latency:percentile(99),
      errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
