import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import javax.security.auth.x500.X500Principal;

/** Answers each line of hexadecimal digits: after "der " with the name that the bytes are, after "text " with whether the text is a name. */
public final class Names {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split(" ", 2);
            byte[] bytes = HexFormat.of().parseHex(words[1]);
            String answer;
            try {
                X500Principal name = words[0].equals("der") ? new X500Principal(bytes) : new X500Principal(new String(bytes, StandardCharsets.UTF_8));
                answer = words[0].equals("der") ? "=" + name.getName() : "valid";
            } catch (IllegalArgumentException e) {
                answer = "invalid";
            }
            System.out.println(HexFormat.of().formatHex(answer.getBytes(StandardCharsets.UTF_8)));
        }
    }
}
