# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_nullmailer_global_optspecs
    string join \n h/help V/version
end

function __fish_nullmailer_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_nullmailer_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_nullmailer_using_subcommand
    set -l cmd (__fish_nullmailer_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c nullmailer -n "__fish_nullmailer_needs_command" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -s V -l version -d 'Print version'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "demo" -d 'Send a message through a throw-away installation'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "flush" -d 'Ask the daemon to try everything now'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "health" -d 'Say whether the daemon does its work; exit 1 if not'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "send" -d 'Be the program send'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "queue" -d 'Be the program queue'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "inject" -d 'Be the program inject'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "dsn" -d 'Be the program dsn'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "smtpd" -d 'Be the program smtpd'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "sendmail" -d 'Be the program sendmail'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "send-mail" -d 'Be the program send-mail'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "mailq" -d 'Be the program mailq'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "newaliases" -d 'Be the program newaliases'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "hoststat" -d 'Be the program hoststat'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "purgestat" -d 'Be the program purgestat'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "smtp" -d 'Be the program smtp'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "qmqp" -d 'Be the program qmqp'
complete -c nullmailer -n "__fish_nullmailer_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand demo" -l keep -d 'Keep the folder of the installation'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand demo" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand flush" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand health" -l max-age -d 'Age of the oldest message that is too much [default: queuelifetime and maxpause]' -r
complete -c nullmailer -n "__fish_nullmailer_using_subcommand health" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand send" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand queue" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand inject" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand dsn" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand smtpd" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand sendmail" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand send-mail" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand mailq" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand newaliases" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand hoststat" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand purgestat" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand smtp" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand qmqp" -s h -l help -d 'Print help'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "demo" -d 'Send a message through a throw-away installation'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "flush" -d 'Ask the daemon to try everything now'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "health" -d 'Say whether the daemon does its work; exit 1 if not'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "send" -d 'Be the program send'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "queue" -d 'Be the program queue'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "inject" -d 'Be the program inject'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "dsn" -d 'Be the program dsn'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "smtpd" -d 'Be the program smtpd'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "sendmail" -d 'Be the program sendmail'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "send-mail" -d 'Be the program send-mail'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "mailq" -d 'Be the program mailq'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "newaliases" -d 'Be the program newaliases'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "hoststat" -d 'Be the program hoststat'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "purgestat" -d 'Be the program purgestat'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "smtp" -d 'Be the program smtp'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "qmqp" -d 'Be the program qmqp'
complete -c nullmailer -n "__fish_nullmailer_using_subcommand help; and not __fish_seen_subcommand_from demo flush health send queue inject dsn smtpd sendmail send-mail mailq newaliases hoststat purgestat smtp qmqp help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
