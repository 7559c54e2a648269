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
