-- The health of an Application that is part of another. Argo CD has none of its own, and so would start the next wave of an
-- app of apps when the Application is written, and not when it is there.
local health = (obj.status or {}).health or {}
if health.status == nil then
  return { status = "Progressing", message = "Waiting for Argo CD to look at it" }
end
return { status = health.status, message = health.message or "" }
