-- The health of a Crossplane package: a Provider, Function or Configuration. Argo CD's own check calls a Provider degraded
-- from the moment it is unpacked until its pod runs, and a sync with waves ends in failure at the first resource that is
-- degraded. Here a package has five minutes to become what it should be.
local os = require("os")
local patience = 300

local function condition(name)
  for _, c in ipairs((obj.status or {}).conditions or {}) do
    if c.type == name then
      return c
    end
  end
  return {}
end

local function told(c)
  local text = c.type .. ": " .. (c.reason or "Unknown")
  if c.message ~= nil and c.message ~= "" then
    text = text .. ": " .. c.message
  end
  return text
end

local annotations = obj.metadata.annotations or {}
if annotations["crossplane.io/paused"] == "true" then
  return { status = "Suspended", message = "Crossplane leaves this package alone: remove the annotation crossplane.io/paused to go on" }
end

-- Times are written alike, so that the later one is the larger text. os.date knows UTC only for now, and so both steps take
-- what UTC's clocks show for local time.
local long_ago = os.date("%Y-%m-%dT%H:%M:%SZ", os.time(os.date("!*t")) - patience)
for _, name in ipairs({ "Installed", "Healthy" }) do
  local c = condition(name)
  if c.status ~= nil and c.status ~= "True" then
    if c.lastTransitionTime ~= nil and c.lastTransitionTime < long_ago then
      return { status = "Degraded", message = told(c) }
    end
    return { status = "Progressing", message = told(c) }
  end
end

if condition("Installed").status == "True" and condition("Healthy").status == "True" then
  return { status = "Healthy", message = "Installed and healthy" }
end
return { status = "Progressing", message = "Waiting for Crossplane to install the package" }
