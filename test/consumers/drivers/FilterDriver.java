import java.time.Instant;
import java.util.Map;
import java.util.Set;
import org.springframework.mock.web.MockFilterChain;
import org.springframework.mock.web.MockHttpServletRequest;
import org.springframework.mock.web.MockHttpServletResponse;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;

/** Sends a request of each user through the filter of docs/resource-servers.md, and prints the responses. */
final class FilterDriver {
  public static void main(String[] userIds) throws Exception {
    var filter = new LastLogoutFilter();
    for (var userId : userIds) {
      // As Spring Security does, with instants instead of seconds.
      var claims = Map.<String, Object>of("sub", userId, "iat", Instant.now().minusSeconds(60));
      var authentication = userId.isEmpty() ? null : new JwtAuthenticationToken(new Jwt(claims));
      SecurityContextHolder.getContext().setAuthentication(authentication);
      var response = new MockHttpServletResponse();
      var chain = new MockFilterChain();
      filter.doFilter(new MockHttpServletRequest(), response, chain);
      var headers = Set.copyOf(response.getHeaderNames()).stream().map(name -> name + ": " + response.getHeader(name)).toList();
      System.out.println(response.getStatus() + " " + headers + (chain.getRequest() == null ? "" : " continues"));
    }
  }
}
