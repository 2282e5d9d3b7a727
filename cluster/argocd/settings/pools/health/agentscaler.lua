-- The health of an AgentScaler, which owns the size of a Deployment.
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
-- A pool's Deployment is made when its memory is there, and its AgentScaler before that.
if ready.status ~= "True" then
  return is("Progressing", told(ready, "not ready yet"))
end

local scaling = condition("ScalingActive")
if scaling.reason == "Suspended" then
  return is("Suspended", told(scaling, "the target is kept at no replicas"))
end
-- It was asked not to write, and does not.
if scaling.reason == "RecommendOnly" then
  return is("Suspended", told(scaling, "spec.managementPolicies do not let it write"))
end
return is("Healthy", told(scaling, "the target has the size that is asked for"))
