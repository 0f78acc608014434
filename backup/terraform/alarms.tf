# The bill, watched twice: an alarm on what has been charged, and a budget that looks ahead. The metric is there only
# after "Receive billing alerts" was switched on by hand in the account's billing preferences.

resource "aws_sns_topic" "billing" {
  provider = aws.billing
  name     = "${var.bucket}-billing"
}

resource "aws_sns_topic_policy" "billing" {
  provider = aws.billing
  arn      = aws_sns_topic.billing.arn

  policy = templatefile("${path.module}/policies/topic.json.tftpl", {
    topic_arn = aws_sns_topic.billing.arn
    account   = data.aws_caller_identity.current.account_id
  })
}

# Dead until the link in AWS's message has been clicked; homeport backup vault doctor says whether it was.
resource "aws_sns_topic_subscription" "email" {
  provider  = aws.billing
  topic_arn = aws_sns_topic.billing.arn
  protocol  = "email"
  endpoint  = var.email
}

resource "aws_cloudwatch_metric_alarm" "charges" {
  provider            = aws.billing
  alarm_name          = "${var.bucket}-estimated-charges"
  alarm_description   = "AWS has charged more than ${var.budget_usd} USD this month."
  namespace           = "AWS/Billing"
  metric_name         = "EstimatedCharges"
  dimensions          = { Currency = "USD" }
  statistic           = "Maximum"
  period              = 21600
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.budget_usd
  alarm_actions       = [aws_sns_topic.billing.arn]
  ok_actions          = [aws_sns_topic.billing.arn]
}

resource "aws_budgets_budget" "month" {
  name         = "${var.bucket}-month"
  budget_type  = "COST"
  limit_amount = tostring(var.budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  notification {
    notification_type          = "FORECASTED"
    comparison_operator        = "GREATER_THAN"
    threshold                  = 100
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = [var.email]
    subscriber_sns_topic_arns  = [aws_sns_topic.billing.arn]
  }
}
