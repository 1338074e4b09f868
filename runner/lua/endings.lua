-- Put before every script, after library.lua: receivers, deliveries, and the record of a task's end.

-- Where a callback goes, as far as fairness between receivers needs it: `host:port` of its URL, in lower case.
local function host_of(result_url)
  local authority = string.match(result_url, '^[^/]*//([^/?#]*)') or ''
  return string.lower(string.match(authority, '[^@]*$'))
end

-- Whether a URL leads to a host, which may be given with its port or without; '' stands for all.
local function is_of_host(result_url, host)
  local found = host_of(result_url)
  return host == '' or found == host or string.gsub(found, ':%d+$', '') == host
end

-- The standing of a receiver (`host_of` its URL) after its last attempt, kept for a day, in bounded number: claiming
-- deliveries forgets the oldest. -> 'good' (answered within a second), 'failed' (quick, but refused or answered 5xx),
-- 'slow' (no answer within a second) or false; then its account: the address that was connected to, as text
local RECEIVER_MILLISECONDS = 24 * 3600 * 1000
local LONGEST_HOST = 300 -- no longer name can be resolved

local function receiver(host)
  local found = redis.call('HMGET', key('receivers'), host)[1]
  if not found then
    return false, ''
  end
  local standing, until_milliseconds, account = string.match(found, '^(%a+) (%d+) (.*)$')
  if tonumber(until_milliseconds) < now_milliseconds() then
    return false, ''
  end
  return standing, account
end

-- Receivers wait in three lanes: `first` are new ones, `known` those that answer, and in `again`
-- slow ones wait together with all others of their account.
local function lane_of(standing)
  return not standing and 'first' or standing == 'slow' and 'again' or 'known'
end

-- The score of a receiver in its lane is the time when its earliest delivery is due. It may be wrong until the next claim corrects it.
local function put_in_lane(host, due)
  local standing, account = receiver(host)
  local lane = lane_of(standing)
  if lane == 'again' then
    redis.call('ZADD', key('hosts', lane, account), 'LT', due, host)
    redis.call('ZADD', key('hosts', lane), 'LT', due, account)
  else
    redis.call('ZADD', key('hosts', lane), 'LT', due, host)
  end
end

-- Slow receivers that have answered before are counted apart from those at their address that never have.
local ANSWERED = ' answered'

-- Records the standing of a receiver; with an empty account the recorded one stays.
local function note_receiver(host, standing, account)
  if #host > LONGEST_HOST then
    return
  end
  local before, account_before = receiver(host)
  local has_answered = before and before ~= 'slow' or string.sub(account_before, -#ANSWERED) == ANSWERED
  local address = account ~= '' and account or account_before ~= '' and account_before or host
  address = string.gsub(address, ANSWERED .. '$', '')
  account = address .. (standing == 'slow' and has_answered and ANSWERED or '')
  local until_milliseconds = integer(now_milliseconds() + RECEIVER_MILLISECONDS)
  redis.call('HSET', key('receivers'), host, standing .. ' ' .. until_milliseconds .. ' ' .. account)
  redis.call('ZADD', key('receivers_known'), until_milliseconds, host)
  if lane_of(before) ~= lane_of(standing) or account ~= account_before then
    put_in_lane(host, integer(now_milliseconds()))
  end
end

-- Runners hold slots while they make the first attempt, so few may do so at a time for new receivers,
-- and one for each receiver. A probe that took long is remembered for a while.
local PROBES = 2
local PROBE_MILLISECONDS, SLOW_PROBE_MILLISECONDS = 3 * 1000, 10 * 1000

-- Whether a runner may make the first attempt itself: the receiver answers, or this is a probe.
local function may_attempt(host, task_id)
  local standing = receiver(host)
  if standing then
    return standing == 'good'
  end
  local free
  for number = 1, PROBES do
    local probe = redis.call('GET', key('probe', number))
    local until_milliseconds, _, its_host = string.match(probe or '', '^(%d+) (%S+) (.*)$')
    if not probe or tonumber(until_milliseconds) < now_milliseconds() then
      free = free or number
    elseif its_host == host then
      return false
    end
  end
  if free then
    local until_milliseconds = integer(now_milliseconds() + PROBE_MILLISECONDS)
    redis.call('SET', key('probe', free), until_milliseconds .. ' ' .. task_id .. ' ' .. host)
  end
  return free ~= nil
end

local function end_probe(task_id, was_quick)
  for number = 1, PROBES do
    local probe = redis.call('GET', key('probe', number))
    local its_task_id, host = string.match(probe or '', '^%d+ (%S+) (.*)$')
    if its_task_id == task_id then
      if was_quick then
        redis.call('DEL', key('probe', number))
      else
        local until_milliseconds = integer(now_milliseconds() + SLOW_PROBE_MILLISECONDS)
        redis.call('SET', key('probe', number), until_milliseconds .. ' ' .. task_id .. ' ' .. host)
      end
    end
  end
end

local function schedule_delivery(host, task_id, due)
  redis.call('ZADD', key('due', host), due, task_id)
  put_in_lane(host, due)
end

local function unschedule_delivery(host, task_id)
  redis.call('ZREM', key('due', host), task_id)
end

-- The one place where the status of a delivery changes. Open and dead deliveries are indexed, and counted. `result` is what an end is
-- counted as, if not by its status; '' if it is not one.
local function set_delivery(task_id, status, result)
  local record = key('task', task_id)
  local fields = redis.call('HMGET', record, 'delivery', 'bytes', 'result_url')
  local open = is_open(status)
  if fields[2] then
    recount(task_id, host_of(fields[3]), tonumber(fields[2]), is_open(fields[1]), open)
  end
  redis.call('HSET', record, 'delivery', status)
  if not open and status ~= fields[1] and result ~= '' then
    redis.call('HINCRBY', key('totals'), 'deliveries_' .. (result or status), 1)
  end
  local given_up = status == 'dead' or status == 'blocked'
  redis.call(open and 'ZADD' or 'ZREM', key('deliveries', 'pending'), unpack(open and { 0, task_id } or { task_id }))
  redis.call(given_up and 'ZADD' or 'ZREM', key('deliveries', 'dead'), unpack(given_up and { 0, task_id } or { task_id }))
end

-- Keeps what an attempt has written; one that wrote nothing has a head of two bytes. The service makes the room.
local EMPTY_LOG = 2

local function hand_over_log(task_id, attempt, entry)
  redis.call('HSET', key('task', task_id), 'logged', attempt)
  if #entry > EMPTY_LOG then
    local before = redis.call('HMGET', key('log', task_id), attempt)[1]
    redis.call('HSET', key('log', task_id), attempt, entry)
    count_log(task_id, before and #entry - #before or #entry + LOG_ENTRY_BYTES)
    redis.call('ZADD', key('logs'), integer(now_milliseconds()), task_id)
  end
end

-- An entry of the line of ended tasks: the id, and when it ended by the steady clock.
local function ended_entry(task_id, milliseconds)
  return task_id .. ' ' .. integer(milliseconds)
end

-- Ends a task. What is recorded of its outcome, its body and its due delivery is recorded in this one step.
-- outcome: { state, error_code, error_message, counted_code (as which the error is counted), body, finished, delivery_token: whose first attempt may be its sender's
-- own for `lease` milliseconds, if the receiver is one that answers; '' leaves it to the service at once }
local function conclude(task_id, outcome)
  local record = key('task', task_id)
  local fields = redis.call('HMGET', record, 'type', 'state', 'client', 'priority', 'result_url', 'message', 'past_bytes', 'begun')
  local task_type, from, result_url = fields[1], fields[2], fields[5]
  if not move(task_id, task_type, from, outcome.state) then
    return false
  end
  if from == 'queued' then
    dequeue(fields[3], task_type, fields[4], task_id)
    redis.call('HDEL', record, 'waits_since')
  elseif from == 'running' and fields[8] then
    observe(task_type, 'run', now_milliseconds() - tonumber(fields[8]))
  end
  tally(task_type, 'ended', outcome.state)
  if outcome.state == 'failed' then
    tally(task_type, 'failed', outcome.counted_code)
  end
  redis.call('HSET', record, 'finished', outcome.finished)
  redis.call('HDEL', record, 'waiting_code', 'waiting_message')
  if from ~= 'queued' then
    redis.call('HSET', record, 'over', integer(now_milliseconds()))
  end
  if outcome.state == 'done' then
    redis.call('HSET', record, 'percent', 1000)
  end
  if outcome.error_code ~= '' then
    redis.call('HSET', record, 'error_code', outcome.error_code, 'error_message', outcome.error_message)
  end
  unstage(task_id)
  redis.call('DEL', key('input', task_id), key('checkpoint', task_id))
  redis.call('SET', key('body', task_id), outcome.body)
  redis.call('RPUSH', key('ended'), ended_entry(task_id, now_milliseconds()))
  local bytes = TASK_BYTES + #outcome.body + #(result_url or '') + #outcome.error_message + #(fields[6] or '')
    + tonumber(fields[7] or 0)
  redis.call('HSET', record, 'bytes', integer(bytes))
  count_kept(bytes)
  if result_url then
    local host = host_of(result_url)
    expect_no_more(task_id, host)
    local is_senders = outcome.delivery_token ~= '' and may_attempt(host, task_id)
    schedule_delivery(host, task_id, integer(now_milliseconds() + (is_senders and outcome.lease or 0)))
    set_delivery(task_id, is_senders and 'sending' or 'pending')
    if is_senders then
      redis.call('HSET', record, 'delivery_token', outcome.delivery_token)
    end
    wake('deliver')
  end
  if over_bounds(result_url and host_of(result_url)) then
    wake('retain')
  end
  return true
end
