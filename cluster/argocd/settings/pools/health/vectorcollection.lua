-- The health of a VectorCollection: a pool's memory.
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

local todo = {
  StoreUnavailable = "Does the store run, and is its endpoint right?",
  CertificateInvalid = "Renew the store's certificate, or tell the configuration its certificate authority",
  Unauthenticated = "Mend the credentials in the Secret that the configuration names",
  PermissionDenied = "Let the configuration's credentials make and read collections",
  QuotaExceeded = "Make room in the store",
  InvalidConfiguration = "Mend what spec.providerConfigRef names, or what that refers to",
  ImmutableMismatch = "Ask for what the store has, or set a successor",
}

local synced, ready = condition("Synced"), condition("Ready")
if synced.status == "False" and synced.reason ~= "ReconcilePaused" then
  local message = told(synced, "kubectl describe says more")
  if todo[synced.reason] ~= nil then
    message = message .. ". " .. todo[synced.reason]
  end
  return is("Degraded", message)
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

local index = ((obj.status.atProvider or {}).index or {}).state
if index == "Building" then
  return is("Healthy", "The collection serves; its index is being built")
end
return is("Healthy", "The collection is there as asked")
