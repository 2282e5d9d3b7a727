-- The health of a ProviderConfig, ClusterProviderConfig or ProviderConfigUsage: they are read, and nobody reports on them.
-- Whether the store can be reached is said by each resource that uses it.
local users = (obj.status or {}).users
if users ~= nil and users > 0 then
  return { status = "Healthy", message = "Resources that use it: " .. tostring(users) }
end
return { status = "Healthy", message = "" }
