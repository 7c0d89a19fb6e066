{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{%- set columns = loaded_columns('import_jobs') %}

select
    {{ field(columns, ['job_id'], 'str', is_key=true) }},
    {{ field(columns, ['status'], 'str') }},
    {{ field(columns, ['created_at'], 'date') }},
    {{ field(columns, ['finished_at'], 'date') }},
    {{ field(columns, ['imported_events'], 'int') }},
    {{ field(columns, ['failed_events'], 'int') }},
    {{ field(columns, ['_sdc_extracted_at'], 'date') }},
    {{ field(columns, ['_sdc_batched_at'], 'date') }}
from {{ loaded_rows('import_jobs') }}
