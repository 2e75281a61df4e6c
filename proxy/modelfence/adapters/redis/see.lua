-- Takes a call into account as evidence. MemoryEvidence, line by line; the numbers in comments are those of the steps in
-- modelfence.extraction.evidence. How records are packed stands in evidence_records.py.
-- KEYS: the account's record, the accounts by when they go, the cohorts by their last call, those taken in by when they
-- go. ARGV[2]: what the names of all other keys begin with. Then the constants, the time, the account's tag, its tier,
-- its country, three characters for what is true (1) of the call or not (0), its item, its history, its shingles in
-- order, each after the three bytes of its shard, and for each of these a digit: 1 when it is in the last message, and 2
-- more when it is looked for among the account's own. Hashes have six bytes, and so have the names of cohorts. Last, four
-- bytes for each that is behind the account.
-- The answer adds the account's tally, the cohorts that are matched, the countries that the account called from within
-- the last hour as its record lists them, and for each cohort of the account its name, the account's calls in it, and its
-- record.
local call, sub, unpacked = redis.call, string.sub, struct.unpack
local ACCOUNTS, SHARED, MATCHES, LEARNS, LEARNED, HEARD, RECENT_ITEMS, RECENT_SHINGLES, RECURRING_SHINGLES, RECURS,
  TEMPLATED, COHORTS_OF_AN_ACCOUNT, OVERLAPS, COUNTRIES, TEMPLATE, ITEM_BITS, WORN, DAY_S, HOUR_S, SEEDS,
  RECENT_COUNTRIES, CONTROLS, NOISY_PART, COHORTS_COMPARED, MOST_ACCOUNTS, MOST_COHORTS, EXPIRES_S, MOST_OF_A_SHARD,
  STAY =
  unpacked('>' .. string.rep('I4', 29), ARGV[3])
local at_s, tag, tier, country = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local is_verified, is_probe, has_phrases =
  sub(ARGV[8], 1, 1) == '1', sub(ARGV[8], 2, 2) == '1', sub(ARGV[8], 3, 3) == '1'
local item, history, shingles, marks, controls = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local cohort_key, items_key, shard_key = ARGV[2] .. 'cohort:2:', ARGV[2] .. 'items:2:', ARGV[2] .. 'shingles:'
local NONE = string.rep('\0', 6)
local ACCOUNT, TALLY_AT, TALLY_SIZE = '>i4i8I4I4I4I4I4I4I4I4I8I4I4I2c0I2c0I2c0I2c0', 13, 48
local COHORT = '>i8i8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I4c0I4c0I4c0I4c0I4c0'
-- An hour more than the sightings' time gives: what expires does so by that.
local life = (EXPIRES_S + HOUR_S) * 1000
local day = math.floor(at_s / DAY_S)

-- Returns where one stands in a list of records of that size, which begin with it.
local function find(list, one, size)
  local found = string.find(list, one, 1, true)
  while found and (found - 1) % size ~= 0 do
    found = string.find(list, one, found + 1, true)
  end
  return found
end

-- Returns the number that begins a string.
local function number(format, packed)
  return (unpacked(format, packed))
end

local function plus(condition, count)
  return condition and count or 0
end

-- The account's record, halved for each day that began since (1).
local account = {day = day, last = at_s, calls = 0, deep = 0, repeated = 0, templated = 0, phrased = 0, probes = 0,
  repeated_probes = 0, answers = 0, output_tokens = 0, hours = 0, hours_before = 0, items = '', once = '',
  recurring = {}, cohorts = {}, countries = ''}
local stored = call('GET', KEYS[1])
local is_first_of_day = true
if stored then
  local known, recurring, cohorts, rest_at = {}
  known.day, known.last, known.calls, known.deep, known.repeated, known.templated, known.phrased, known.probes,
    known.repeated_probes, known.answers, known.output_tokens, known.hours, known.hours_before, known.items, known.once,
    recurring, cohorts, rest_at = unpacked(ACCOUNT, stored)
  if at_s - known.last <= EXPIRES_S then
    known.recurring, known.cohorts, known.countries = {}, {}, sub(stored, rest_at)
    for at = 1, #recurring, 8 do
      local shingle, met = unpacked('>c4I4', recurring, at)
      known.recurring[shingle] = met
    end
    local days = day - known.day
    is_first_of_day = days > 0
    for at = 1, #cohorts, 18 do
      local id, calls, ever, elsewhere = unpacked('>c6I4I4I4', cohorts, at)
      if is_first_of_day then
        calls, elsewhere = math.floor(calls / 2 ^ days), math.floor(elsewhere / 2 ^ days)
      end
      table.insert(known.cohorts, {id = id, calls = calls, ever = ever, elsewhere = elsewhere})
    end
    if is_first_of_day then
      for _, name in ipairs({'calls', 'deep', 'repeated', 'templated', 'phrased', 'probes', 'repeated_probes',
                             'answers', 'output_tokens'}) do
        known[name] = math.floor(known[name] / 2 ^ days)
      end
      known.hours, known.hours_before, known.day = 0, days == 1 and known.hours or 0, day
    end
    account = known
    account.last = math.max(account.last, at_s)
  end
end

-- Says whether the shingle that was met least could go. One that is the template's is worn down instead.
local function makes_room(recurring)
  local least
  for shingle, met in pairs(recurring) do
    if not least or met < recurring[least] or
       (met == recurring[least] and number('>I4', shingle) < number('>I4', least)) then
      least = shingle
    end
  end
  if recurring[least] >= RECURS then
    recurring[least] = recurring[least] - 1
    return false
  end
  recurring[least] = nil
  return true
end

-- Where the account called from within the last hour (1).
do
  local recent, is_known, at = {}, country == '', 1
  while at <= #account.countries do
    local then_s, name, next_at = unpacked('>i8I4c0', account.countries, at)
    if name == country then
      then_s, is_known = math.max(then_s, at_s), true
    end
    if at_s - then_s < HOUR_S then
      table.insert(recent, {name = name, at_s = then_s})
    end
    at = next_at
  end
  if not is_known then
    table.insert(recent, {name = country, at_s = at_s})
  end
  if #recent > RECENT_COUNTRIES then
    local earliest = 1
    for number, one in ipairs(recent) do
      earliest = one.at_s < recent[earliest].at_s and number or earliest
    end
    table.remove(recent, earliest)
  end
  account.countries = ''
  for _, one in ipairs(recent) do
    account.countries = account.countries .. struct.pack('>i8I4', one.at_s, #one.name) .. one.name
  end
end

-- The call is counted (1).
if item ~= NONE or #marks > 0 then
  local short = sub(item, 3)
  local again = find(account.items, short, 4)
  account.calls = account.calls + 1
  account.deep = account.deep + plus(history ~= NONE, 1)
  account.repeated = account.repeated + plus(again, 1)
  account.phrased = account.phrased + plus(has_phrases, 1)
  account.probes = account.probes + plus(is_probe, 1)
  account.repeated_probes = account.repeated_probes + plus(is_probe and again, 1)
  account.hours = bit.bor(account.hours, bit.lshift(1, math.floor(at_s % DAY_S / HOUR_S)))
  account.items = sub(account.items .. short, -4 * RECENT_ITEMS)
  local recurring, known, own, count = account.recurring, 0, {}, 0
  for at = 1, #marks do
    local mark = string.byte(marks, at) - 48
    if mark >= 2 then
      local shingle = sub(shingles, 9 * at - 3, 9 * at)
      table.insert(own, shingle)
      known = known + plus(mark == 3 and (recurring[shingle] or 0) >= RECURS, 1)
    end
  end
  account.templated = account.templated + plus(known >= TEMPLATED, 1)
  for _ in pairs(recurring) do
    count = count + 1
  end
  local once = account.once
  for _, shingle in ipairs(own) do
    if recurring[shingle] then
      recurring[shingle] = recurring[shingle] + 1
    else
      local at = find(once, shingle, 4)
      if not at then
        once = once .. shingle
      elseif count < RECURRING_SHINGLES or makes_room(recurring) then
        count = math.min(count + 1, RECURRING_SHINGLES)
        once = sub(once, 1, at - 1) .. sub(once, at + 4)
        recurring[shingle] = 2
      end
    end
  end
  account.once = sub(once, -4 * RECENT_SHINGLES)
end
