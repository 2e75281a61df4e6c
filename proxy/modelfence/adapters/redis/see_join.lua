-- Goes on after see_match.lua: what is counted in the cohorts that the call matches (5).
-- Returns the calls of the account by the cohorts that are kept.
local function of_roots(calls)
  local found, at = {}, {}
  for _, one in ipairs(calls) do
    local cohort = root(one.id)
    if cohort and at[cohort] then
      at[cohort].calls = at[cohort].calls + one.calls
    elseif cohort then
      at[cohort] = {id = cohort.id, calls = one.calls}
      table.insert(found, at[cohort])
    end
  end
  return found
end

-- Says whether the bitmap knew a hash; it does from now on.
local function knows(cohort, hash)
  local at = number('>I6', hash) % ITEM_BITS
  local known = cohort.bits[at]
  for _, bitmap in ipairs(cohort.bitmaps) do
    known = known or call('GETBIT', bitmap, at) == 1
  end
  if not known then
    cohort.bits[at] = true
  end
  return known
end

local function count(cohort, before, in_message)
  local times = cohort.calls > 0 and 1 or ACCOUNTS
  cohort.last = math.max(cohort.last, at_s)
  cohort.calls = cohort.calls + times
  cohort.pairs = cohort.pairs + 2 * before
  cohort.in_message = cohort.in_message + plus(in_message, times)
  cohort.phrased = cohort.phrased + plus(has_phrases, times)
  if history ~= NONE and not in_message and not knows(cohort, history) then
    cohort.deep = cohort.deep + times
  end
  if item ~= NONE and cohort.checked < ITEMS_CHECKED then
    cohort.checked = cohort.checked + 1
    cohort.repeated = cohort.repeated + plus(knows(cohort, item), 1)
  end
  cohort.is_changed = true
end

local function welcome(cohort)
  local seed = find(cohort.seeds, tag, 4)
  if seed then
    cohort.seeds = sub(cohort.seeds, 1, seed - 1) .. sub(cohort.seeds, seed + 4)
  else
    cohort.accounts = cohort.accounts + 1
  end
  cohort.verified = cohort.verified + plus(is_verified, 1)
  cohort.tiers = counted(cohort.tiers, tier, 1)
  come_from(cohort, country, 1)
  for at = 1, #controls, 4 do
    are_controlled(cohort, sub(controls, at, at + 3), 1)
  end
end

-- Counts all that another has counted; so many accounts are in both.
local function take_in(cohort, other, both)
  -- Of those that are in both, who they are has been counted already: of the other's, as many are new as there are.
  local function new(accounts)
    return math.floor(accounts * math.max(other.accounts - both, 0) / math.max(other.accounts, 1))
  end
  cohort.verified = cohort.verified + new(other.verified)
  for _, name in ipairs({'accounts', 'calls', 'in_message', 'deep', 'phrased', 'checked', 'repeated',
                         'pairs', 'answers', 'output_tokens'}) do
    cohort[name] = cohort[name] + other[name]
  end
  cohort.accounts = cohort.accounts - both
  cohort.last = math.max(cohort.last, other.last)
  for _, list in ipairs({'tiers', 'countries'}) do
    local at = 1
    while at <= #other[list] do
      local accounts, name, next_at = unpacked('>I4I4c0', other[list], at)
      if list == 'tiers' then
        cohort.tiers = counted(cohort.tiers, name, new(accounts))
      else
        come_from(cohort, name, new(accounts))
      end
      at = next_at
    end
  end
  for at = 1, #other.controls, 8 do
    local control, accounts = unpacked('>c4I4', other.controls, at)
    are_controlled(cohort, control, new(accounts))
  end
  learn(cohort, other.template)
  for at = 1, #other.seeds, 4 do
    local seed = sub(other.seeds, at, at + 3)
    if not find(cohort.seeds, seed, 4) then
      cohort.seeds = cohort.seeds .. seed
    end
  end
  cohort.seeds = sub(cohort.seeds, 1, 4 * SEEDS)
  for _, bitmap in ipairs(other.bitmaps) do
    table.insert(cohort.bitmaps, bitmap)
  end
  for at in pairs(other.bits) do
    cohort.bits[at] = true
  end
end

local function overlapping(cohort, other)
  local at = find(cohort.overlaps, other.id, 10)
  return at and number('>I4', sub(cohort.overlaps, at + 6)) or 0
end

local function overlaps(cohort, other, both)
  local at = find(cohort.overlaps, other.id, 10)
  if at then
    cohort.overlaps = sub(cohort.overlaps, 1, at + 5) .. struct.pack('>I4', both)
      .. sub(cohort.overlaps, at + 10)
  elseif #cohort.overlaps < 10 * OVERLAPS then
    cohort.overlaps = cohort.overlaps .. other.id .. struct.pack('>I4', both)
  end
  cohort.is_changed = true
end

-- Counts that an account of these others is in this one, too, but for those that the call also matches; those that
-- overlap by half become one.
local taken_in = {}
local function overlap(cohort, others, also)
  for _, one in ipairs(others) do
    local other = root(one.id)
    if other ~= cohort and not also[one.id] then
      local both = math.max(overlapping(cohort, other), overlapping(other, cohort)) + 1
      overlaps(cohort, other, both)
      overlaps(other, cohort, both)
      if both >= ACCOUNTS and 2 * both >= cohort.accounts + other.accounts - both then
        local gone = other
        if other.first < cohort.first or (other.first == cohort.first and number('>I6', other.id) < number('>I6', cohort.id)) then
          cohort, gone = other, cohort
        end
        take_in(cohort, gone, both)
        gone.into = cohort
        table.insert(taken_in, gone)
      end
    end
  end
  return cohort
end

-- In each cohort that it matches the call is counted, and the account if it is new to it (5).
local function join(cohort)
  account.cohorts = of_roots(account.cohorts)
  local mine, in_message = nil, 0
  for _, one in ipairs(account.cohorts) do
    mine = one.id == cohort.id and one or mine
  end
  for at, entry in ipairs(entries) do
    if string.byte(marks, at) % 2 == 1 and #entry.value == 6 and root(entry.value) == cohort then
      in_message = in_message + 1
    end
  end
  count(cohort, mine and mine.calls or 0, in_message >= SHARED)
  if mine then
    mine.calls = mine.calls + 1
    return
  end
  table.insert(account.cohorts, {id = cohort.id, calls = 1})
  welcome(cohort)
  local also = {}
  for _, one in ipairs(matched) do
    also[root(one.id).id] = true
  end
  local joined = overlap(cohort, account.cohorts, also)
  account.cohorts = of_roots(account.cohorts)
  if #account.cohorts > COHORTS_OF_AN_ACCOUNT then
    local least
    for at, one in ipairs(account.cohorts) do
      local other = account.cohorts[least]
      if one.id ~= joined.id and (not least or one.calls < other.calls or
         (one.calls == other.calls and number('>I6', one.id) < number('>I6', other.id))) then
        least = at
      end
    end
    table.remove(account.cohorts, least)
  end
end

local counted_in = {}
for _, cohort in ipairs(matched) do
  local is_counted = false
  for _, one in ipairs(counted_in) do
    is_counted = is_counted or root(one.id) == root(cohort.id)
  end
  if not is_counted then
    join(root(cohort.id))
    table.insert(counted_in, cohort)
  end
end
account.cohorts = of_roots(account.cohorts)
