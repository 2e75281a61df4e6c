-- Goes on after see_match.lua: what is counted in the cohorts that the call matches (5).
-- Returns the calls of the account by the cohorts that are kept.
local function of_roots(calls)
  local found, at = {}, {}
  for _, one in ipairs(calls) do
    local cohort = root(one.id)
    if cohort and at[cohort] then
      at[cohort].calls = at[cohort].calls + one.calls
      at[cohort].ever = at[cohort].ever + one.ever
      at[cohort].elsewhere = at[cohort].elsewhere + one.elsewhere
    elseif cohort then
      at[cohort] = {id = cohort.id, calls = one.calls, ever = one.ever, elsewhere = one.elsewhere}
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
    cohort.set = cohort.set + 1
  end
  return known
end

local function count(cohort, before)
  cohort.last = math.max(cohort.last, at_s)
  cohort.pairs = cohort.pairs + 2 * before
  cohort.calls = cohort.calls + (cohort.calls > 0 and 1 or ACCOUNTS)
  cohort.is_changed = true
end

-- What has been heard is halved, and the bitmap begins anew.
local function age(cohort)
  for _, name in ipairs({'heard', 'in_message', 'deep', 'phrased', 'checked', 'repeated', 'by_chance', 'answers',
                         'answer_tokens'}) do
    cohort[name] = math.floor(cohort[name] / 2)
  end
  cohort.set, cohort.bits, cohort.bitmaps, cohort.is_cleared = 0, {}, {}, true
end

-- What a call shows of the use of the template.
local function hear(cohort, in_message)
  if cohort.set >= WORN then
    age(cohort)
  end
  local times = cohort.heard > 0 and 1 or ACCOUNTS
  cohort.heard = cohort.heard + times
  cohort.in_message = cohort.in_message + plus(in_message, times)
  cohort.phrased = cohort.phrased + plus(has_phrases, times)
  if history ~= NONE and not in_message and not knows(cohort, history) then
    cohort.deep = cohort.deep + times
  end
  if item ~= NONE then
    cohort.checked = cohort.checked + 1
    cohort.by_chance = cohort.by_chance + cohort.set
    cohort.repeated = cohort.repeated + plus(knows(cohort, item), 1)
  end
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
  local set_in_both = math.floor(cohort.set * other.set / ITEM_BITS)
  for _, name in ipairs({'accounts', 'calls', 'pairs', 'heard', 'in_message', 'deep', 'phrased', 'checked', 'repeated',
                         'by_chance', 'set', 'answers', 'answer_tokens', 'output_tokens', 'learned'}) do
    cohort[name] = cohort[name] + other[name]
  end
  -- Where one bit in so many is set in both, of those that the other adds as many are known.
  cohort.set = cohort.set - set_in_both
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
  know_template(cohort, other.template)
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
end

-- In each cohort that it matches the call is counted, and the account if it is new to it (5).
local function join(cohort)
  account.cohorts = of_roots(account.cohorts)
  local mine, least, in_message = nil, nil, 0
  for at, one in ipairs(account.cohorts) do
    mine = one.id == cohort.id and one or mine
    local other = account.cohorts[least]
    local fewer = other and one.calls + one.elsewhere - other.calls - other.elsewhere
    if not other or fewer < 0 or (fewer == 0 and number('>I6', one.id) < number('>I6', other.id)) then
      least = at
    end
  end
  local is_new = not mine
  if is_new then
    local left = #account.cohorts >= COHORTS_OF_AN_ACCOUNT and table.remove(account.cohorts, least)
    mine = {id = cohort.id, calls = 0, ever = 0, elsewhere = left and left.calls + left.elsewhere or 0}
    table.insert(account.cohorts, mine)
  end
  for at, entry in ipairs(entries) do
    if string.byte(marks, at) % 2 == 1 and #entry.value == 6 and root(entry.value) == cohort then
      in_message = in_message + 1
    end
  end
  count(cohort, mine.ever)
  local twice_the_usual = math.floor(2 * cohort.heard / math.max(cohort.accounts, 1))
  if cohort.heard == 0 or mine.calls + mine.elsewhere < math.min(HEARD, 1 + twice_the_usual) then
    hear(cohort, in_message >= SHARED)
  end
  mine.calls, mine.ever = mine.calls + 1, mine.ever + 1
  -- Where it takes the place of one that it has not used for days, it has left that for good.
  if not is_new or mine.elsewhere > 0 then
    return
  end
  welcome(cohort)
  local also = {}
  for _, one in ipairs(matched) do
    also[root(one.id).id] = true
  end
  overlap(cohort, account.cohorts, also)
  account.cohorts = of_roots(account.cohorts)
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
