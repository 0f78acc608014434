variable "bucket" {
  description = "Name of the vault's bucket, unique in the world. The same as vault.bucket in backup.toml."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,45}[a-z0-9]$", var.bucket))
    error_message = "3 to 47 of a-z, 0-9 and hyphens; with \"-uploader\" behind it, it is a user's name too."
  }
}

variable "region" {
  description = "Where the bucket is. The same as vault.region in backup.toml."
  type        = string
  default     = "ap-northeast-1"
}

variable "email" {
  description = "Who is told when the bill grows. AWS sends a link to this address: without a click no alarm arrives."
  type        = string
  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+$", var.email))
    error_message = "An e-mail address."
  }
}

variable "budget_usd" {
  description = "Alarm above this bill of one month, in US dollars. The same as vault.budget_usd in backup.toml."
  type        = number
  default     = 10
  validation {
    condition     = var.budget_usd > 0
    error_message = "More than 0."
  }
}

variable "operator_arn" {
  description = "ARN of the person's IAM user that may become the collector, with a second factor. Its keys never lie on the backed-up host."
  type        = string
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:user/", var.operator_arn))
    error_message = "The ARN of an IAM user, arn:aws:iam::123456789012:user/name."
  }
}
