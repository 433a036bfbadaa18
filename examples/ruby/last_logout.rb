# frozen_string_literal: true

require "json"
require "net/http"
require "time"
require "timeout"
require "uri"

# Checks verified Auth0 access tokens by POST /v1/check of last-logout. Create one instance per process.
# It is safe for concurrent use. The key needs the role check.
class LastLogout
  # The response does not decide about the token.
  class InvalidResponse < StandardError; end

  MAX_BODY_BYTES = 65_536
  MAX_MESSAGE_LENGTH = 200
  MAX_AGE_SECONDS = 300
  # How far the clock of the service may be ahead of the clock of this host.
  MAX_AHEAD_SECONDS = 60

  # Give the namespace only if the login Action uses another one than the default.
  def initialize(url, api_key, timeout_seconds: 1, namespace: nil)
    @url = URI("#{url.sub(%r{/+\z}, "")}/v1/check")
    raise ArgumentError, "the URL must begin with http:// or https://" unless @url.is_a?(URI::HTTP)

    @api_key = api_key
    @headers = { "Authorization" => "Bearer #{api_key}", "Content-Type" => "application/json" }
    @timeout_seconds = timeout_seconds
    @namespace = { namespace: namespace }.compact
  end

  # Returns :accepted, :revoked or :unknown for verified claims: respond with 200, 401 or 503.
  def check(claims)
    verdict = within_timeout { post(JSON.generate({ claims: claims, **@namespace })) }
    judge(JSON.parse(verdict), Time.now)
  rescue StandardError => e
    # Other errors may quote a header, which can contain the key.
    warn "last-logout check failed: #{e.is_a?(InvalidResponse) ? e.message : e.class}"
    :unknown
  end

  private

  # The timeouts of Net::HTTP limit each step. This one limits the whole request. Ruby cannot interrupt the look-up of a
  # name, so the request runs in a thread of its own.
  def within_timeout
    exchange = Thread.new do
      Thread.current.report_on_exception = false
      yield
    end
    raise Timeout::Error unless exchange.join(@timeout_seconds)

    exchange.value
  ensure
    exchange&.kill
  end

  # Net::HTTP follows no redirect, which would carry the key to another server.
  def post(body)
    Net::HTTP.start(@url.hostname, @url.port, use_ssl: @url.scheme == "https") do |http|
      request = Net::HTTP::Post.new(@url, @headers)
      request.body = body
      http.request(request) do |response|
        body = read(response)
        raise InvalidResponse, "status #{response.code}: #{message_of(body)}" unless response.code == "200"

        return body
      end
    end
  end

  def read(response)
    body = +""
    response.read_body do |chunk|
      raise InvalidResponse, "the body is too long" if (body << chunk).bytesize > MAX_BODY_BYTES
    end
    body
  end

  # Returns the message of an error response for the log, without the key.
  def message_of(body)
    JSON.parse(body).fetch("message").gsub(@api_key, "<key>")[0, MAX_MESSAGE_LENGTH].to_json
  rescue StandardError
    "no message"
  end

  def judge(verdict, now)
    case verdict.fetch("revoked")
    when true then return :revoked
    when false then nil
    else raise InvalidResponse, "revoked is not a boolean"
    end
    return :accepted if verdict.fetch("reason") == "machine_token"
    raise InvalidResponse, "the service has not read the log yet" if verdict.fetch("as_of").nil?

    age = now - Time.iso8601(verdict.fetch("as_of"))
    return :accepted if age.between?(-MAX_AHEAD_SECONDS, MAX_AGE_SECONDS)

    raise InvalidResponse, "the data is #{age.round} s old"
  end
end
