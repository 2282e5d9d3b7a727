-- The health of an Application that is part of another. Argo CD has none of its own, and so would start the next wave of an
-- app of apps when the Application is written, and not when it is there. What an Application says of its own health is not enough: while
-- it is synced, what it has not come to yet does not count, and one that has applied its first wave calls itself healthy.
local status = obj.status or {}
local health = status.health or {}
local sync = status.sync or {}
local last = status.operationState or {}
local automated = ((obj.spec or {}).syncPolicy or {}).automated

if health.status == nil then
  return { status = "Progressing", message = "Waiting for Argo CD to look at it" }
end

if obj.operation ~= nil or last.phase == "Running" or last.phase == "Terminating" then
  return { status = "Progressing", message = last.message or "Waiting for its sync to end" }
end

-- One that a person syncs, and a difference that was there after a sync of this commit, hold up nothing.
if automated ~= nil and automated.enabled ~= false and sync.status ~= "Synced" then
  if last.phase == "Failed" or last.phase == "Error" then
    return { status = "Degraded", message = last.message or "Its sync has failed" }
  end
  if last.phase == nil or ((last.syncResult or {}).revision or "") ~= (sync.revision or "") then
    return { status = "Progressing", message = "Waiting to be synced" }
  end
end

return { status = health.status, message = health.message or "" }
