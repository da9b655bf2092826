-- The pause of all calls after refusals: paceline.admission.refusal_pause.

-- retry_after: -1 if the provider named no time.
local function call_refused(granted, number, retry_after)
  if granted > state.pause_began then
    state.pause_began = now
    state.bursts = min(state.bursts + 1, 30)
    local doubled = 2 ^ (state.bursts - 1)
    if retry_after < 0 then
      local pause = min(LONGEST_PAUSE, FIRST_PAUSE * doubled)
      retry_after = floor(pause * 3 / 4) + (number % 10007) * 7919 % floor(pause / 2)
    else
      retry_after = max(retry_after, min(LONGEST_PAUSE, SHORTEST_PAUSE * doubled))
    end
  end
  if retry_after >= 0 then
    state.pause_until = max(state.pause_until, now + retry_after)
    state.next_start = state.pause_until
  end
end

local function call_succeeded(granted)
  if granted >= state.pause_until then state.bursts = 0 end
end

local function restarting(concurrency)
  return concurrency and now < state.pause_until + RESTART and state.pause_began >= 0
end

local function pause_wait(concurrency)
  if now < state.pause_until then return state.pause_until - now end
  if restarting(concurrency) then return max(0, ceil(state.next_start - RESTART_BURST - now)) end
  return 0
end

local function call_started(concurrency)
  if restarting(concurrency) then
    state.next_start = max(state.next_start, now) + RESTART / concurrency
  end
end
