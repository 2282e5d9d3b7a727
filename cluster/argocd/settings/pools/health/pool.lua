-- The health of a pool: an AIDispatcher, or the XAIDispatcher behind a claim. Argo CD does not look at what a resource is
-- made of, so that this tells what is wrong with a pool's memory, checkpoints and workers too.
local status = obj.status or {}

local function condition(name)
  for _, c in ipairs(status.conditions or {}) do
    if c.type == name then
      return c
    end
  end
  return {}
end

local function why(c, otherwise)
  if c.message ~= nil and c.message ~= "" then
    return c.message
  end
  return otherwise
end

local function is(health, message)
  return { status = health, message = message }
end

local annotations = obj.metadata.annotations or {}
if annotations["crossplane.io/paused"] == "true" then
  return is("Suspended", "Crossplane leaves this pool alone: remove the annotation crossplane.io/paused to go on")
end

local accepted, synced = condition("Accepted"), condition("Synced")
if accepted.status == "False" then
  return is("Degraded", (accepted.reason or "Refused") .. ": " .. why(accepted, "the platform's catalog does not have what spec asks for"))
end
-- The reason of a pause that has just ended is no fault.
if synced.status == "False" and synced.reason ~= "ReconcilePaused" then
  return is("Degraded", why(synced, "Crossplane cannot make this pool what spec says: kubectl describe it"))
end
if synced.status ~= "True" then
  return is("Progressing", "Waiting for Crossplane. If it takes long: is there a Composition, and are the Function and the Provider healthy?")
end
-- What follows in the status is about an older spec.
if synced.observedGeneration ~= nil and obj.metadata.generation ~= nil and synced.observedGeneration < obj.metadata.generation then
  return is("Progressing", "Waiting for Crossplane to see the newest spec")
end

local phase, state = status.currentPhase, status.state or "unknown"
local memory, checkpoint, workers = condition("MemoryReady"), condition("CheckpointReady"), condition("WorkersAvailable")
local suspend = obj.spec ~= nil and obj.spec.suspend == true

if phase == "Failed" then
  if state == "MemoryRefused" then
    return is("Degraded", (memory.reason or state) .. ": " .. why(memory, "the memory cannot become what spec.memoryConfig asks for"))
  end
  return is("Degraded", state .. ": " .. why(workers, "look at the workers' events and logs"))
end

if suspend and phase == "Suspended" then
  return is("Suspended", "No workers, as asked; all else is kept. Set spec.suspend to false to go on")
end
if suspend then
  return is("Progressing", "The workers save their state and go, as spec.suspend asks")
end
if phase == nil or phase == "Suspended" then
  return is("Progressing", "Waiting for the first workers")
end

local corrupt = (status.checkpoint or {}).corrupt
if corrupt ~= nil and corrupt > 0 then
  return is("Degraded", "Stored objects that are lost or are not what was written: " .. tostring(corrupt) .. ". See the events of the pool's Checkpoint")
end

if state == "Degraded" then
  if memory.status == "False" then
    return is("Degraded", (memory.reason or state) .. ": " .. why(memory, "the pool's memory has failed"))
  end
  return is("Degraded", why(workers, "not all workers are available") .. ": look at the workers' events and logs")
end

if state == "WaitingForMemory" then
  for _, c in ipairs({ memory, checkpoint }) do
    -- Another reason than that it is not there yet is what keeps it from being there.
    if c.status == "False" and c.reason ~= "Waiting" then
      return is("Degraded", (c.reason or state) .. ": " .. why(c, "what a worker loads before it starts cannot be had"))
    end
  end
  return is("Progressing", "Waiting for the memory or the checkpoints that a worker loads before it starts")
end

-- A pool that has served, and whose checkpoints cannot be reached now, works on and saves nothing.
if checkpoint.status == "False" and phase ~= "Initializing" then
  return is("Degraded", (checkpoint.reason or "CheckpointNotReady") .. ": " .. why(checkpoint, "state is not being saved"))
end

if phase == "Initializing" then
  return is("Progressing", state .. ": " .. why(workers, "not all workers are available yet"))
end
if state == "RollingOut" then
  return is("Progressing", "Workers are being replaced, a few at a time; the others serve")
end

-- A platform's Composition may have more to it than the pool.
local ready = condition("Ready")
if ready.status == "False" then
  return is("Progressing", why(ready, "Crossplane waits for what the pool is made of"))
end

-- It serves. A size that follows the load is no news, and a health that flaps with it tells nobody anything.
local scaling = condition("ScalingActive")
if scaling.status == "False" then
  return is("Healthy", "Serving. Its size is not kept: " .. why(scaling, scaling.reason or "see the AgentScaler"))
end
return is("Healthy", "Serving")
