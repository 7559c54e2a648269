"""The scripts that a Valkey or Redis server runs, each as one step that nothing comes between.

The arithmetic is that of `bucket`, in doubles: all numbers stay below 2**53, where doubles are whole. `%.0f` keeps their digits.
"""

_BEGIN = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function owed(debt, at, limit)
  if not debt or not at then return 0 end
  local elapsed = now - tonumber(at)
  if elapsed < -1000000 then return 0 end
  return math.max(0, tonumber(debt) - math.max(0, elapsed) * limit)
end
local function whole(number) return string.format('%.0f', number) end
"""

ENTER = (
    _BEGIN
    + """
local minute, minute_unit, minute_brim = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local second, second_unit, second_brim = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local at_once, lease = tonumber(ARGV[7]), tonumber(ARGV[8])
local state = redis.call('HMGET', KEYS[1], 'm', 'ma', 's', 'sa')
local by_minute = owed(state[1], state[2], minute)
local by_second = owed(state[3], state[4], second)
if (minute > 0 and by_minute > minute_brim) or (second > 0 and by_second > second_brim) then
  return {-1, by_minute, by_second}
end
if at_once > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now))
  if redis.call('ZCARD', KEYS[2]) >= at_once then return {0, by_minute, by_second} end
  redis.call('ZADD', KEYS[2], whole(now + lease), ARGV[9])
  redis.call('PEXPIRE', KEYS[2], whole(math.ceil(lease / 1000) + 1000))
end
if minute > 0 or second > 0 then
  by_minute, by_second = by_minute + minute_unit, by_second + second_unit
  redis.call('HSET', KEYS[1], 'm', whole(by_minute), 'ma', whole(now), 's', whole(by_second), 'sa', whole(now))
  redis.call('PEXPIRE', KEYS[1], 130000)
end
return {1, by_minute, by_second}
"""
)
"""KEYS: the key's buckets, the organization's running calls. ARGV: limit, unit and brim per minute, the same per second, calls at once,
lease (µs), name of the call. Answers 1 (in), 0 (too many at once) or -1 (too many), and what is owed per minute and per second."""

ROOM = (
    _BEGIN
    + """
local state = redis.call('HMGET', KEYS[1], 'm', 'ma', 's', 'sa')
return {owed(state[1], state[2], tonumber(ARGV[1])), owed(state[3], state[4], tonumber(ARGV[2]))}
"""
)
"""KEYS: the key's buckets. ARGV: the limits per minute and per second. Answers what is owed to each; nothing changes."""

TOKENS = (
    _BEGIN
    + """
local limit, unit, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens, is_final = tonumber(ARGV[4]), ARGV[5] == '1'
local state = redis.call('HMGET', KEYS[1], 't', 'ta')
local debt = owed(state[1], state[2], limit)
if not is_final and debt + (math.min(tokens, capacity) - capacity) * unit > 0 then return {0, debt} end
debt = math.min(math.max(0, debt + tokens * unit), 2 * capacity * unit)
redis.call('HSET', KEYS[1], 't', whole(debt), 'ta', whole(now))
redis.call('PEXPIRE', KEYS[1], 130000)
return {1, debt}
"""
)
"""KEYS: the key's buckets. ARGV: limit, unit and capacity of the tokens per minute, tokens (below 0: given back), 1 for a correction.
Answers 1 (taken) or 0 (too few), and what is owed."""

SPEND = (
    _BEGIN
    + """
local count, day, month = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local amount, record, payload = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local process, lasts, parts, kept = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local function current(there, is) if there == is + 1 then return there end return is end
local caps = {}
for i = 1, count do
  local sums, loans = KEYS[2 * i - 1], KEYS[2 * i]
  local state = redis.call('HMGET', sums, 'd', 'ds', 'm', 'ms')
  if not state[3] then return {-1, i} end
  local of_day, of_month = tonumber(state[1]), tonumber(state[3])
  local cap = {sums = sums, loans = loans, day = current(of_day, day), month = current(of_month, month)}
  local told = tonumber(ARGV[8 + 3 * i])
  cap.by_day, cap.by_month = told, told
  if of_day == cap.day then cap.by_day = cap.by_day + tonumber(state[2]) end
  if of_month == cap.month then cap.by_month = cap.by_month + tonumber(state[4]) end
  cap.daily, cap.monthly, cap.lent = tonumber(ARGV[9 + 3 * i]), tonumber(ARGV[10 + 3 * i]), 0
  local all = redis.call('HGETALL', loans)
  for at = 1, #all, 2 do
    local lent, ends = string.match(all[at + 1], '^(%d+) (%d+)$')
    if all[at] == process or tonumber(ends) < now then
      redis.call('HDEL', loans, all[at])
    else
      cap.lent = cap.lent + tonumber(lent)
    end
  end
  caps[i] = cap
end
local refused = nil
for i, cap in ipairs(caps) do
  if not refused and cap.daily >= 0 and cap.by_day + cap.lent >= cap.daily then
    refused = {0, i, 1, cap.by_day + cap.lent}
  end
  if not refused and cap.monthly >= 0 and cap.by_month + cap.lent >= cap.monthly then
    refused = {0, i, 2, cap.by_month + cap.lent}
  end
end
local answer = refused or {1, caps[1].day, caps[1].month}
for i, cap in ipairs(caps) do
  local taken = amount
  if refused then taken = 0 end
  local by_day, by_month = math.max(0, cap.by_day + taken), math.max(0, cap.by_month + taken)
  redis.call('HSET', cap.sums, 'd', whole(cap.day), 'ds', whole(by_day), 'm', whole(cap.month), 'ms', whole(by_month))
  redis.call('EXPIRE', cap.sums, kept)
  if not refused then
    local loan = 2 ^ 52
    if cap.daily >= 0 then
      local left = cap.daily - by_day - cap.lent
      loan = left * 5 > cap.daily and math.min(loan, left / parts) or 0
    end
    if cap.monthly >= 0 and loan > 0 then
      local left = cap.monthly - by_month - cap.lent
      loan = left * 5 > cap.monthly and math.min(loan, left / parts) or 0
    end
    loan = math.floor(loan)
    if loan > 0 then
      redis.call('HSET', cap.loans, process, whole(loan) .. ' ' .. whole(now + lasts))
      redis.call('EXPIRE', cap.loans, kept)
    end
    answer[3 + i] = whole(loan)
  end
end
if not refused then
  redis.call('ZADD', KEYS[2 * count + 1], whole(now), record)
  redis.call('HSET', KEYS[2 * count + 2], record, payload)
  redis.call('EXPIRE', KEYS[2 * count + 1], kept)
  redis.call('EXPIRE', KEYS[2 * count + 2], kept)
end
return answer
"""
)
"""Reserves money. KEYS: sums and loans of each cap, the organization's reservations by time, and what each is. ARGV: number of caps, day,
month, micro-dollars, the call's record, what is kept of it, the process, how long a loan lasts (µs), into how many parts what is left is
divided for one, how long all is kept (s); for each cap what was spent on loan and not told yet, and the caps per day and month (-1 for
none). Answers {1, day, month, loan of each cap…}, {0, cap, 1 for the day or 2 for the month, spent}, or {-1, cap} when nothing is known
of a cap. A loan of this process ends with each question; one of a process that is silent ends by itself."""

UNSPEND = (
    _BEGIN
    + """
local record, amount = ARGV[1], tonumber(ARGV[2])
local payload = redis.call('HGET', KEYS[2], record)
redis.call('ZREM', KEYS[1], record)
if not payload then return 0 end
redis.call('HDEL', KEYS[2], record)
local held = cjson.decode(payload)
if amount < 0 then return 1 end
for _, sums in ipairs(held.sums) do
  local state = redis.call('HMGET', sums, 'd', 'ds', 'm', 'ms')
  if state[1] and tonumber(state[1]) == held.day then
    redis.call('HSET', sums, 'ds', whole(math.max(0, tonumber(state[2]) + amount - held.amount)))
  end
  if state[3] and tonumber(state[3]) == held.month then
    redis.call('HSET', sums, 'ms', whole(math.max(0, tonumber(state[4]) + amount - held.amount)))
  end
end
return 1
"""
)
"""Settles a reservation, once. KEYS: the organization's reservations by time, and what each is. ARGV: the call's record, and what it cost
(below 0: not known, so that all of it stays spent)."""

RAISE = """
local day, month = tonumber(ARGV[1]), tonumber(ARGV[2])
local state = redis.call('HMGET', KEYS[1], 'd', 'ds', 'm', 'ms')
local by_day, by_month = tonumber(ARGV[3]), tonumber(ARGV[4])
if state[1] and (tonumber(state[1]) > day or tonumber(state[3]) > month) then return 0 end
if state[1] and tonumber(state[1]) == day then by_day = math.max(by_day, tonumber(state[2])) end
if state[3] and tonumber(state[3]) == month then by_month = math.max(by_month, tonumber(state[4])) end
redis.call('HSET', KEYS[1], 'd', ARGV[1], 'ds', string.format('%.0f', by_day), 'm', ARGV[2], 'ms', string.format('%.0f', by_month))
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
"""
"""Counts at least so much. KEYS: the sums of a cap. ARGV: day, month, what was spent in each, how long it is kept (s)."""

SPENT = """
local state = redis.call('HMGET', KEYS[1], 'd', 'ds', 'm', 'ms')
local answer = {0, 0}
if state[1] and tonumber(state[1]) >= tonumber(ARGV[1]) then answer[1] = tonumber(state[2]) end
if state[3] and tonumber(state[3]) >= tonumber(ARGV[2]) then answer[2] = tonumber(state[4]) end
return answer
"""
"""KEYS: the sums of a cap. ARGV: day and month. Answers what is spent and reserved in each."""

LEFT_OVER = (
    _BEGIN
    + """
local found = {}
for _, record in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now - tonumber(ARGV[1])), 'LIMIT', 0, 100)) do
  local payload = redis.call('HGET', KEYS[2], record)
  if payload then
    found[#found + 1] = record
    found[#found + 1] = payload
  end
end
return found
"""
)
"""KEYS: the organization's reservations by time, and what each is. ARGV: an age (µs). Answers those that are older, in pairs."""

SCRIPTS = (ENTER, ROOM, TOKENS, SPEND, UNSPEND, RAISE, SPENT, LEFT_OVER)
"""All of them."""
