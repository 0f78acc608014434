# Four identities, none of which may do another's work. Access keys are made by hand (README.md): a key that Terraform
# makes stands in its state in clear.

locals {
  identities = toset(["uploader", "verifier", "restorer"])
}

resource "aws_iam_user" "identity" {
  for_each = local.identities
  name     = "${var.bucket}-${each.key}"
  path     = "/homeport/"
}

resource "aws_iam_policy" "identity" {
  for_each = local.identities
  name     = "${var.bucket}-${each.key}"
  path     = "/homeport/"

  policy = templatefile("${path.module}/policies/${each.key}.json.tftpl", {
    bucket_arn = aws_s3_bucket.vault.arn
    topic_arn  = aws_sns_topic.billing.arn
    budget_arn = aws_budgets_budget.month.arn
  })
}

resource "aws_iam_user_policy_attachment" "identity" {
  for_each   = local.identities
  user       = aws_iam_user.identity[each.key].name
  policy_arn = aws_iam_policy.identity[each.key].arn
}

# The only one that may delete, and only a person with a second factor becomes it, for an hour.
resource "aws_iam_role" "collector" {
  name                 = "${var.bucket}-collector"
  path                 = "/homeport/"
  max_session_duration = 3600

  assume_role_policy = templatefile("${path.module}/policies/collector-trust.json.tftpl", {
    operator_arn = var.operator_arn
  })
}

resource "aws_iam_policy" "collector" {
  name = "${var.bucket}-collector"
  path = "/homeport/"

  policy = templatefile("${path.module}/policies/collector.json.tftpl", {
    bucket_arn = aws_s3_bucket.vault.arn
  })
}

resource "aws_iam_role_policy_attachment" "collector" {
  role       = aws_iam_role.collector.name
  policy_arn = aws_iam_policy.collector.arn
}
