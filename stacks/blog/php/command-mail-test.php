<?php
/**
 * `wp homeport mail-test --to=ADDRESS --id=HEX`: send a message as the site itself would, by wp_mail and whatever the
 * site has in its way. Says {"sent": true}, or ends with the sender's own error. The id stands in a header, by which the
 * message is found again where it arrives.
 */

final class Homeport_Mail_Test
{
    private const MAX_ERROR_CHARACTERS = 300;

    private string $error = 'the site gave no reason';

    public function __invoke(array $arguments, array $options): void
    {
        $id = (string) ($options['id'] ?? '');
        if (!is_email($options['to'] ?? '') || !preg_match('/\A[0-9a-f]{32}\z/', $id)) {
            WP_CLI::error('mail-test takes --to=ADDRESS and --id=32 hexadecimal digits.');
        }
        add_action('wp_mail_failed', function (WP_Error $error): void {
            $text = trim((string) preg_replace('/\s+/', ' ', wp_strip_all_tags($error->get_error_message())));
            $this->error = mb_substr($text, 0, self::MAX_ERROR_CHARACTERS);
        });
        $body = "This message was sent to see whether mail of this site arrives.\n\n" . home_url() . "\n";
        if (!wp_mail($options['to'], "Homeport mail test $id", $body, ["X-Homeport-Canary: $id"])) {
            WP_CLI::error("The message was not sent: $this->error");
        }
        WP_CLI::line((string) json_encode(['sent' => true]));
    }
}

WP_CLI::add_command('homeport mail-test', new Homeport_Mail_Test());
