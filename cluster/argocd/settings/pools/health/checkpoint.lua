-- The health of a Checkpoint: a pool's checkpoint repository.
local function condition(name)
  for _, c in ipairs((obj.status or {}).conditions or {}) do
    if c.type == name then
      return c
    end
  end
  return {}
end

-- The reason, and the message that the provider wrote for whoever has to act.
local function told(c, otherwise)
  local text = c.reason or "Unknown"
  if c.message ~= nil and c.message ~= "" then
    return text .. ": " .. c.message
  end
  return text .. ": " .. otherwise
end

local function is(health, message)
  return { status = health, message = message }
end

local annotations = obj.metadata.annotations or {}
if annotations["crossplane.io/paused"] == "true" then
  return is("Suspended", "The provider leaves this alone: remove the annotation crossplane.io/paused to go on")
end

local synced, ready = condition("Synced"), condition("Ready")
if synced.status == "False" and synced.reason ~= "ReconcilePaused" then
  return is("Degraded", told(synced, "kubectl describe says more"))
end
if synced.status ~= "True" then
  return is("Progressing", "Waiting for the provider. If it takes long: is the Provider healthy, and this kind active (kubectl get managedresourcedefinitions)?")
end
if synced.observedGeneration ~= nil and obj.metadata.generation ~= nil and synced.observedGeneration < obj.metadata.generation then
  return is("Progressing", "Waiting for the provider to see the newest spec")
end
if ready.status == "False" and ready.reason == "Unavailable" then
  return is("Degraded", told(ready, "it cannot be used now"))
end
if ready.status ~= "True" then
  return is("Progressing", told(ready, "not ready yet"))
end

local intact, rpo, quota = condition("Intact"), condition("RPOMet"), condition("WithinQuota")
if intact.status == "False" then
  return is("Degraded", told(intact, "stored objects are lost or are not what was written: the events name them"))
end
if rpo.status == "False" then
  return is("Degraded", told(rpo, "workers' state is not being saved in time"))
end
-- Nothing is refused for it.
if quota.status == "False" then
  return is("Healthy", told(quota, "the repository takes more than its quota"))
end
return is("Healthy", "Checkpoints can be saved and restored")
