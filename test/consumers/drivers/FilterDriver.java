import java.time.Instant;
import java.util.Map;
import java.util.Set;
import org.springframework.mock.web.MockFilterChain;
import org.springframework.mock.web.MockHttpServletRequest;
import org.springframework.mock.web.MockHttpServletResponse;
import org.springframework.security.authentication.AnonymousAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;

/**
 * Sends requests through the filter of docs/resource-servers.md, and prints the responses. Each argument is the kind of
 * authentication, and the user.
 */
final class FilterDriver {
  /** The authentication of an app. */
  record AppAuthentication(Object getPrincipal) implements Authentication {}

  public static void main(String[] requests) throws Exception {
    var filter = new LastLogoutFilter();
    // The first check of a process loads classes. On a busy machine, that takes longer than the timeout of a check.
    send(filter, "jwt auth0|first");
    for (var request : requests) System.out.println(send(filter, request));
  }

  private static String send(LastLogoutFilter filter, String request) throws Exception {
    var words = request.split(" ");
    SecurityContextHolder.getContext().setAuthentication(create(words[0], words[words.length - 1]));
    var response = new MockHttpServletResponse();
    var chain = new MockFilterChain();
    filter.doFilter(new MockHttpServletRequest(), response, chain);
    var headers = Set.copyOf(response.getHeaderNames()).stream().map(name -> name + ": " + response.getHeader(name)).toList();
    return response.getStatus() + " " + headers + (chain.getRequest() == null ? "" : " continues");
  }

  private static Authentication create(String kind, String userId) {
    // As Spring Security does, with instants instead of seconds.
    var jwt = new Jwt(Map.of("sub", userId, "iat", Instant.now().minusSeconds(60)));
    return switch (kind) {
      case "jwt" -> new JwtAuthenticationToken(jwt);
      case "app" -> new AppAuthentication(jwt);
      case "form" -> new AppAuthentication(userId);
      case "anonymous" -> new AnonymousAuthenticationToken("anonymousUser");
      case "none" -> null;
      default -> throw new IllegalArgumentException(kind);
    };
  }
}
