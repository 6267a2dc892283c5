package example;

import jakarta.servlet.http.HttpServletRequest;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A Spring Boot app. application.properties has what it is told for Lambda Dispatch. */
@SpringBootApplication
@RestController
public class App {
  public static void main(String[] args) {
    SpringApplication.run(App.class, args);
  }

  @GetMapping("/")
  Map<String, String> hello(HttpServletRequest request) {
    return Map.of(
        "message", "Hello from Spring Boot",
        "scheme", request.getScheme(),
        "client", request.getRemoteAddr());
  }
}
