import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;

/** Runs the checks of the lines of standard input, and prints the outcome of each. */
final class Driver {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    var clients = new HashMap<String, LastLogout>();
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines();
    for (var line : (Iterable<String>) lines::iterator) {
      var options = MAPPER.readTree(line);
      var claims = MAPPER.convertValue(options.path("claims"), new TypeReference<Map<String, Object>>() {});
      // As Spring Security does.
      claims.computeIfPresent("iat", (name, at) -> at instanceof Number n ? Instant.ofEpochSecond(n.longValue()) : at);
      var id = String.join(" ", options.path("url").asText(), options.path("key").asText(),
          options.path("timeoutSeconds").asText(), options.path("namespace").asText());
      try {
        var outcome = clients.computeIfAbsent(id, unused -> create(options)).check(claims);
        System.out.println(outcome.name().toLowerCase());
      } catch (IllegalArgumentException e) {
        System.out.println("invalid");
      }
    }
  }

  private static LastLogout create(JsonNode options) {
    var url = options.path("url").asText();
    var key = options.path("key").asText();
    var timeout = options.path("timeoutSeconds");
    var namespace = options.path("namespace");
    if (!namespace.isNull()) return new LastLogout(url, key, Duration.ofSeconds(timeout.asLong()), namespace.asText());
    return timeout.isNull() ? new LastLogout(url, key) : new LastLogout(url, key, Duration.ofSeconds(timeout.asLong()));
  }
}
