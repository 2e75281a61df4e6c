-- Goes on after see_join.lua: all that has changed is written.
-- From here on it is written. The account:
local recurring, its_cohorts = {}, {}
for shingle, met in pairs(account.recurring) do
  table.insert(recurring, shingle .. struct.pack('>I4', met))
end
for _, one in ipairs(account.cohorts) do
  table.insert(its_cohorts, one.id .. struct.pack('>I4I4I4', one.calls, one.ever, one.elsewhere))
end
recurring, its_cohorts = table.concat(recurring), table.concat(its_cohorts)
local record = struct.pack('>i4i8I4I4I4I4I4I4I4I4I8I4I4', account.day, account.last, account.calls, account.deep,
  account.repeated, account.templated, account.phrased, account.probes, account.repeated_probes, account.answers,
  account.output_tokens, account.hours, account.hours_before)
  .. struct.pack('>I2', #account.items) .. account.items .. struct.pack('>I2', #account.once) .. account.once
  .. struct.pack('>I2', #recurring) .. recurring .. struct.pack('>I2', #its_cohorts) .. its_cohorts
  .. account.countries
call('SET', KEYS[1], record, 'PX', life)

-- Adds to a list of what goes in order; of what is too much it returns what goes.
local function queue(list, one, most)
  local last = call('ZREVRANGE', list, 0, 0, 'WITHSCORES')[2] or 0
  call('ZADD', list, last + 1, one)
  call('PEXPIRE', list, 2 * life)
  local over = call('ZCARD', list) - most
  return over > 0 and call('ZPOPMIN', list, over) or {}
end

if is_first_of_day then
  local gone = queue(KEYS[2], sub(KEYS[1], -16), MOST_ACCOUNTS)
  for at = 1, #gone, 2 do
    call('UNLINK', sub(KEYS[1], 1, -17) .. gone[at])
  end
end

-- The cohorts, those that are no longer kept first: one of the same name may have begun.
for id in pairs(dropped) do
  call('UNLINK', cohort_key .. id, items_key .. id)
  call('ZREM', KEYS[3], id)
end
for _, cohort in pairs(cohorts) do
  if cohort and cohort.is_changed and not cohort.into and not cohort.is_dropped then
    local bitmap = items_key .. cohort.id
    cohort.record = struct.pack('>i8i8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8I8', cohort.first, cohort.last, cohort.accounts,
      cohort.verified, cohort.calls, cohort.pairs, cohort.heard, cohort.in_message, cohort.deep, cohort.phrased,
      cohort.checked, cohort.repeated, cohort.by_chance, cohort.set, cohort.answers, cohort.answer_tokens,
      cohort.output_tokens, cohort.learned)
    for _, list in ipairs({cohort.tiers, cohort.countries, cohort.template, cohort.seeds, cohort.overlaps}) do
      cohort.record = cohort.record .. struct.pack('>I4', #list) .. list
    end
    cohort.record = cohort.record .. cohort.controls
    call('SET', cohort_key .. cohort.id, cohort.record, 'PX', life)
    if cohort.is_new then
      call('ZREM', KEYS[4], cohort.id)
    end
    if cohort.is_cleared then
      call('UNLINK', bitmap)
    end
    if cohort.is_new or cohort.is_cleared then
      call('SETBIT', bitmap, ITEM_BITS - 1, 0)  -- the whole at once: one that grows is given twice the room
    end
    if cohort.was ~= cohort.last then
      call('ZADD', KEYS[3], cohort.last, cohort.id)
      call('PEXPIRE', KEYS[3], 2 * life)
    end
    if cohort.bitmaps[1] and (cohort.bitmaps[2] or cohort.is_new or cohort.is_cleared) then
      call('BITOP', 'OR', bitmap, unpack(cohort.bitmaps))
    end
    for at in pairs(cohort.bits) do
      call('SETBIT', bitmap, at, 1)
    end
    call('PEXPIRE', bitmap, life)
    cohort.is_changed = false
  end
end
for _, gone in ipairs(taken_in) do
  call('UNLINK', items_key .. gone.id)
  call('ZREM', KEYS[3], gone.id)
  call('SET', cohort_key .. gone.id, gone.into.id, 'PX', life)
  local over = queue(KEYS[4], gone.id, MOST_COHORTS)
  for at = 1, #over, 2 do
    call('UNLINK', cohort_key .. over[at])
  end
end

-- The index. A field that is written anew stands at the end.
local too_large = {}
for _, entry in ipairs(entries) do
  local shard, was, value = entry.shard, entry.was, entry.met_on .. entry.value
  if value ~= was then
    if entry.is_moved then
      call('HDEL', shard, entry.shingle)
    end
    call('HSET', shard, entry.shingle, value)
    if not was then
      local size = call('HLEN', shard)
      if size > MOST_OF_A_SHARD then
        too_large[shard] = true
      end
      if size % 8 == 1 then
        call('PEXPIRE', shard, 2 * life)
      end
    elseif entry.is_moved then
      call('PEXPIRE', shard, 2 * life)
    end
  end
end

-- Says whether a cohort is kept, by what is stored now.
local kept = {}
local function is_kept(id)
  if kept[id] == nil then
    local into = call('GETRANGE', cohort_key .. id, 0, 6)
    kept[id] = #into > 6 or (#into == 6 and is_kept(into))
  end
  return kept[id]
end

-- Adds what was sent only by accounts that have much of the shard, what was not, and what is a kept cohort's, to a list
-- each.
local function sort_by_worth(fields, noise, others, in_use)
  local sent = {}
  for at = 2, #fields, 2 do
    for tag_at = 4, #fields[at] == 9 and 0 or #fields[at], 4 do
      local its = sub(fields[at], tag_at, tag_at + 3)
      sent[its] = (sent[its] or 0) + 1
    end
  end
  for at = 1, #fields, 2 do
    local value, list = fields[at + 1], noise
    if #value == 9 then
      list = is_kept(sub(value, 4)) and in_use or noise
    else
      for tag_at = 4, #value, 4 do
        list = NOISY_PART * sent[sub(value, tag_at, tag_at + 3)] <= #fields / 2 and others or list
      end
    end
    list[#list + 1] = fields[at]
  end
end

for shard in pairs(too_large) do
  local fields, gone, others, in_use = call('HGETALL', shard), {}, {}, {}
  sort_by_worth(fields, gone, others, in_use)
  local over = #fields / 2 - STAY
  for _, list in ipairs({others, in_use}) do
    for at = 1, over - #gone do
      gone[#gone + 1] = list[at]
    end
  end
  call('HDEL', shard, unpack(gone, 1, over))
end

local matched_ids, is_listed = {}, {}
for _, cohort in ipairs(matched) do
  local id = root(cohort.id).id
  if not is_listed[id] then
    is_listed[id] = true
    table.insert(matched_ids, id)
  end
end
local answer = {now, 1, sub(record, TALLY_AT, TALLY_AT + TALLY_SIZE - 1), table.concat(matched_ids),
  account.countries}
for _, one in ipairs(account.cohorts) do
  table.insert(answer, one.id)
  table.insert(answer, one.calls)
  table.insert(answer, root(one.id).record)
end
return answer
