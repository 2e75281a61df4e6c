-- Counts what a call was answered with, in the account and in the cohort it drew on.
-- KEYS: the account's record. ARGV[2]: what the names of all other keys begin with. Then the cohort's name, which may be
-- empty, the tokens of the answer, and of how many calls of an account a cohort hears. The counts stand at fixed places:
-- see evidence_records.py.
local call, unpacked = redis.call, struct.unpack
local tokens, HEARD = tonumber(ARGV[4]), tonumber(ARGV[5])
local cohort_key = ARGV[2] .. 'cohort:2:'

-- Returns the name of the cohort that this one has become part of, or its own.
local function root(id)
  local record = call('GETRANGE', cohort_key .. id, 0, 6)
  return #record == 6 and root(record) or id
end

-- Returns how many of the account's calls count as heard in a cohort. Its cohorts are the fourth of the lists that follow
-- after the tally, each after its size.
local function heard_in(account, cohort)
  local at, size, calls = 61, nil, 0
  for _ = 1, 4 do
    size = unpacked('>I2', account, at)
    at = at + 2 + size
  end
  for entry = at - size, at - 1, 18 do
    local id, its, _, elsewhere = unpacked('>c6I4I4I4', account, entry)
    if id == cohort or root(id) == cohort then
      calls = calls + its + elsewhere
    end
  end
  return calls
end

local account = call('GET', KEYS[1])
if account then
  local answers, all = unpacked('>I4I8', account, 41)
  call('SETRANGE', KEYS[1], 40, struct.pack('>I4I8', answers + 1, all + tokens))
end
local cohort = root(ARGV[3])
local stored = call('GETRANGE', cohort_key .. cohort, 112, 135)
if #stored == 24 then
  local answers, heard, all = unpacked('>I8I8I8', stored)
  local accounts, _, _, _, heard_of_all = unpacked('>I8I8I8I8I8', call('GETRANGE', cohort_key .. cohort, 16, 55))
  local twice_the_usual = math.floor(2 * heard_of_all / math.max(accounts, 1))
  if not account or heard_of_all == 0 or heard_in(account, cohort) <= math.min(HEARD, 1 + twice_the_usual) then
    answers, heard = answers + 1, heard + tokens
  end
  call('SETRANGE', cohort_key .. cohort, 112, struct.pack('>I8I8I8', answers, heard, all + tokens))
end
return {now, 1}
