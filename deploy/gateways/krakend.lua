-- KrakenD (2) asks last-logout about each request before it calls the backends. Add the name of this file and the call of
-- last_logout to each endpoint, as in krakend.json. input_headers passes no header of the user but Authorization.
-- Replace GATEWAY_KEY, and the address of last-logout.

function last_logout(request)
  -- The first value, if the user sends several.
  local authorization = request:headers("Authorization")
  local response = http_response.new("http://last-logout:8080/v1/forward-auth", "GET", "", {
    ["Authorization"] = authorization,
    ["X-Last-Logout-Key"] = "GATEWAY_KEY"
  })
  local status = response:statusCode()
  if status == 204 then
    -- The backends get no other value than the one that was checked.
    request:headers("Authorization", authorization)
    request:headers("X-Last-Logout-User", response:headers("X-Last-Logout-User"))
    request:headers("X-Last-Logout-Client", response:headers("X-Last-Logout-Client"))
    request:headers("X-Last-Logout-Scope", response:headers("X-Last-Logout-Scope"))
    response:close()
  elseif status == 401 or status == 403 then
    custom_error(response:body(), status)
  else
    -- It is unknown whether the token is revoked.
    custom_error(response:body(), 503)
  end
end
