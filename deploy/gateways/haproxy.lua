-- Asks last-logout whether the request may be forwarded. haproxy.cfg forwards it only if txn.last_logout is set.
local url, key = os.getenv("LAST_LOGOUT_URL"), os.getenv("LAST_LOGOUT_KEY")

-- In milliseconds, for one attempt. The default is for the four attempts of HAProxy before 2.9: they take 3 s.
local TIMEOUT = tonumber(os.getenv("LAST_LOGOUT_TIMEOUT") or 750)

local function refuse(txn, status, headers)
  local reply = txn:reply({ status = status })
  reply:add_header("Cache-Control", "no-store")
  for name, value in pairs(headers) do
    reply:add_header(name, value)
  end
  txn:done(reply)
end

core.register_action("last-logout", { "http-req" }, function(txn)
  local authorization = txn.sf:req_fhdr("Authorization")
  local headers = { ["x-last-logout-key"] = { key } }
  if authorization ~= "" then
    headers["authorization"] = { authorization }
  end
  local response = core.httpclient():get({ url = url, headers = headers, timeout = TIMEOUT })

  local function header(name)
    local values = response.headers and response.headers[name]
    return values and values[0] or ""
  end

  if response.status == 204 then
    txn.http:req_set_header("X-Last-Logout-User", header("x-last-logout-user"))
    txn.http:req_set_header("X-Last-Logout-Client", header("x-last-logout-client"))
    txn.http:req_set_header("X-Last-Logout-Scope", header("x-last-logout-scope"))
    txn:set_var("txn.last_logout", "valid")
  elseif response.status == 401 then
    refuse(txn, 401, { ["WWW-Authenticate"] = header("www-authenticate") })
  elseif response.status == 403 then
    refuse(txn, 403, {})
  else
    -- The status is 0 if last-logout cannot be reached. It is then unknown whether the token is revoked.
    local retry_after = header("retry-after")
    refuse(txn, 503, { ["Retry-After"] = retry_after ~= "" and retry_after or "5" })
  end
end)
