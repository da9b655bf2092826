-- Refusals, which hold back all: paceline.admission.refusal_pause.

local function refuse(granted, number, retry_after)
  if granted > state.began then
    state.began = now
    state.strikes = min(state.strikes + 1, 30)
    local doubled = 2 ^ (state.strikes - 1)
    if retry_after < 0 then
      local pause = min(LONGEST, FIRST * doubled)
      retry_after = floor(pause * 3 / 4) + (number % 10007) * 7919 % floor(pause / 2)
    else
      retry_after = max(retry_after, min(LONGEST, LEAST * doubled))
    end
  end
  if retry_after >= 0 then
    state['until'] = max(state['until'], now + retry_after)
    state.returns = state['until']
  end
end

local function hold(meter) set(meter, 'due', max(get(meter, 'due'), state['until'] + BURST)) end

local function returning(concurrency)
  return concurrency and now < state['until'] + RETURN and state.began >= 0
end

local function wait_for_hold(concurrency)
  if now < state['until'] then return state['until'] - now end
  if returning(concurrency) then return max(0, ceil(state.returns - TOGETHER - now)) end
  return 0
end
