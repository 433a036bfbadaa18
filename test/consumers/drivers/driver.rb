# frozen_string_literal: true

# Runs the checks of the lines of standard input, and prints the outcome of each.

require "json"
require "last_logout"

$stdout.sync = true
clients = Hash.new do |known, (url, key, timeout_seconds, namespace)|
  options = { timeout_seconds: timeout_seconds, namespace: namespace }.compact
  known[[url, key, timeout_seconds, namespace]] = LastLogout.new(url, key, **options)
end
$stdin.each_line do |line|
  options = JSON.parse(line)
  claims = options.delete("claims")
  puts clients[options.values_at("url", "key", "timeoutSeconds", "namespace")].check(claims)
rescue ArgumentError
  puts "invalid"
end
