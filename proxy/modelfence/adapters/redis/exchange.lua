-- Writes keys, each only if it still holds what its writer has read.
-- KEYS. Then for each key what it was read to hold, and what it is to hold: empty is nothing.
-- The answer says of each key whether it was written.
local answer = {now, 1}
for i, key in ipairs(KEYS) do
  local was, new = ARGV[2 * i], ARGV[2 * i + 1]
  if (redis.call('GET', key) or '') ~= was then
    answer[i + 2] = 0
  else
    answer[i + 2] = 1
    if new == '' then
      redis.call('DEL', key)
    else
      redis.call('SET', key, new)
    end
  end
end
return answer
