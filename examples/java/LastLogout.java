import static java.util.concurrent.TimeUnit.MILLISECONDS;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.lang.System.Logger.Level;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;

/**
 * Checks verified Auth0 access tokens by POST /v1/check of last-logout. Create one instance per process.
 * It is safe for concurrent use.
 */
public final class LastLogout {
  /** The result of a check. */
  public enum Outcome {
    /** Respond with the resource. */
    ACCEPTED,
    /** Respond with 401 and WWW-Authenticate. */
    REVOKED,
    /** Respond with 503 and Retry-After. */
    UNKNOWN
  }

  private static final Duration MAX_AGE = Duration.ofMinutes(5);

  /** How far the clock of the service may be ahead of the clock of this host. */
  private static final Duration MAX_AHEAD = Duration.ofMinutes(1);

  private static final int MAX_MESSAGE_LENGTH = 200;

  private static final System.Logger LOG = System.getLogger(LastLogout.class.getName());

  private final ObjectMapper mapper = new ObjectMapper();
  private final URI url;
  private final String apiKey;
  private final Duration timeout;
  private final String namespace;
  private final HttpClient client;

  /** Uses a timeout of one second. The key needs the role check. */
  public LastLogout(String url, String apiKey) {
    this(url, apiKey, Duration.ofSeconds(1));
  }

  /** Uses a timeout that limits the whole request, including the body of the response. */
  public LastLogout(String url, String apiKey, Duration timeout) {
    this(url, apiKey, timeout, null);
  }

  /** Uses a namespace of the login Action's claims that is not the default. */
  public LastLogout(String url, String apiKey, Duration timeout, String namespace) {
    if (!url.matches("(?i)https?://.+")) {
      throw new IllegalArgumentException("the URL must begin with http:// or https://");
    }
    this.url = URI.create(url.replaceAll("/+$", "") + "/v1/check");
    this.apiKey = apiKey;
    this.timeout = timeout;
    this.namespace = namespace;
    this.client =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(timeout)
            // A redirect would carry the key to another server.
            .followRedirects(HttpClient.Redirect.NEVER)
            .build();
  }

  /** Returns the outcome for the verified claims of a token. */
  public Outcome check(Map<String, ?> claims) {
    try {
      return judge(post(toBody(claims)), Instant.now());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return Outcome.UNKNOWN;
    } catch (Exception e) {
      // Other errors may quote a header, which can contain the key.
      var reason = e instanceof InvalidResponse ? e.getMessage() : e.getClass().getName();
      LOG.log(Level.WARNING, "last-logout check failed: " + reason);
      return Outcome.UNKNOWN;
    }
  }

  private byte[] toBody(Map<String, ?> claims) throws JsonProcessingException {
    var converted = new HashMap<String, Object>(claims);
    // Spring Security converts the times of a token to instants. The service expects seconds.
    converted.replaceAll((name, value) -> value instanceof Instant at ? at.getEpochSecond() : value);
    var body = new HashMap<String, Object>(Map.of("claims", converted));
    if (namespace != null) body.put("namespace", namespace);
    return mapper.writeValueAsBytes(body);
  }

  private JsonNode post(byte[] body) throws Exception {
    var request =
        HttpRequest.newBuilder(url)
            .header("Authorization", "Bearer " + apiKey)
            .header("Content-Type", "application/json")
            .POST(BodyPublishers.ofByteArray(body))
            .build();
    // The timeout of a request ends with the headers of the response.
    var exchange = client.sendAsync(request, BodyHandlers.ofByteArray());
    try {
      var response = exchange.get(timeout.toMillis(), MILLISECONDS);
      if (response.statusCode() != 200) {
        throw new InvalidResponse("status " + response.statusCode() + ": " + messageOf(response.body()));
      }
      return mapper.readTree(response.body());
    } catch (ExecutionException e) {
      throw e.getCause() instanceof Exception cause ? cause : e;
    } finally {
      exchange.cancel(true);
    }
  }

  /** Returns the message of an error response for the log, without the key. */
  private String messageOf(byte[] body) {
    try {
      var message = mapper.readTree(body).path("message").asText().replace(apiKey, "<key>");
      var length = Math.min(message.length(), MAX_MESSAGE_LENGTH);
      return mapper.writeValueAsString(message.substring(0, length));
    } catch (IOException e) {
      return "no message";
    }
  }

  private static Outcome judge(JsonNode verdict, Instant now) throws InvalidResponse {
    if (!verdict.path("revoked").isBoolean()) throw new InvalidResponse("revoked is not a boolean");
    if (verdict.path("revoked").booleanValue()) return Outcome.REVOKED;
    if (verdict.path("reason").asText().equals("machine_token")) return Outcome.ACCEPTED;
    if (!verdict.path("as_of").isTextual()) {
      throw new InvalidResponse("the service has not read the log yet");
    }
    var age = Duration.between(Instant.parse(verdict.path("as_of").textValue()), now);
    if (age.compareTo(MAX_AGE) > 0 || age.compareTo(MAX_AHEAD.negated()) < 0) {
      throw new InvalidResponse("the data is " + age.toSeconds() + " s old");
    }
    return Outcome.ACCEPTED;
  }

  /** The response does not decide about the token. */
  private static final class InvalidResponse extends Exception {
    private static final long serialVersionUID = 1;

    InvalidResponse(String message) {
      super(message);
    }
  }
}
